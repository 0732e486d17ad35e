"""Audit: the sentences of `why`."""

from dataclasses import replace

from sagestream.verbs.audit import lines
from training.lifecycle.origin import ListOrigin, ShownItem

FOUND = ListOrigin(
    request_id="q",
    user_id="ann",
    slot="home",
    shown_at=1_700_000_000_000,
    variant="bold/control",
    model_version="m2",
    kind="incremental",
    parent="m1",
    anchor="m0",
    settings_hash="abc",
    code_version="0.2",
    verdict="promoted",
    reasons=["fresher", "no harm"],
    snapshot_id="s2",
    snapshot_as_of=1_600_000_000_000,
    run_id="r2",
    trigger="5000 new events",
    run_started_at=1_650_000_000_000,
    run_finished_at=None,
    requests=["monitoring: drift"],
    promoted_at=1_660_000_000_000,
    promotion_action="promote",
    promoted_by="r2",
    promoted_because="fresher",
    experiment="bold",
    experiment_because="to see",
    items=[ShownItem(0, "tea", 1.0, 1.0, "batch", [])],
)


def test_a_list_is_told_from_the_shopper_back_to_the_request() -> None:
    assert lines(FOUND) == [
        "1 items were shown to ann in slot home at 2023-11-14 22:13:20, variant bold/control",
        "experiment bold: to see",
        "model m2: incremental, made by Sagestream 0.2, settings abc",
        "champion when it was made: m1, last full model of its line m0",
        "data: snapshot s2, events until 2020-09-13 12:26:40",
        "run r2 at 2022-04-15 05:20:00, asked for by 5000 new events",
        "answered the request of monitoring: drift",
        "verdict promoted: fresher; no harm",
        "champion since 2022-08-08 23:06:40: promote by r2, fresher",
    ]


def test_what_is_not_known_is_said_or_left_out() -> None:
    stranger = replace(FOUND, kind=None, experiment=None)
    assert lines(stranger)[1:] == ["model m2: the registry does not know it"]
    unserved = replace(FOUND, promoted_at=None, code_version=None, settings_hash=None, run_id=None, requests=[])
    assert "model m2: incremental, made by a version of Sagestream that is not known" in lines(unserved)
    assert lines(unserved)[-1] == "it was not the champion at that time"
