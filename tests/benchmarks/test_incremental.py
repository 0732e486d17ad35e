"""The incremental benchmark on a toy shop, as it is called."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import incremental
from benchmarks.curves import MODELS
from benchmarks.incremental import main
from benchmarks.replay import HIN
from tests.training.checkerboard import DAY_MS, make_log
from training.data.offline import OfflineDataset


@pytest.fixture
def toy_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shoppers take two of their four favourites a day. From day 15 on all items are new.

    A full run fits its blend across that day and learns that nothing of the past counts. An update does not.
    """
    rows = []
    for day in range(20):
        for user in range(30):
            rng = np.random.default_rng([day, user])
            own = np.random.default_rng(user).choice(np.arange(user % 2, 24, 2), 4, replace=False)
            bought = rng.choice(own, 2, replace=False) + (24 if day >= 15 else 0)
            rows += [(user, int(item), day * DAY_MS + user * 60_000) for item in bought]
    log = make_log(rows, num_users=30, num_items=48)
    data = OfflineDataset(log, [f"u{row}" for row in range(30)], [f"i{row}" for row in range(48)])
    monkeypatch.setattr(incremental, "read_set", lambda *_args, **_options: data)


def run(output: Path, *more: str) -> dict:
    given = ["--json", str(output), "--sets", HIN, "--slices", "4", "--kind", "closed_form", "--full-every", "2"]
    assert main([*given, *more]) == 0
    return json.loads(output.read_text())["sets"][HIN]


@pytest.mark.usefixtures("toy_set")
def test_models_that_learn_rank_what_came_later(tmp_path, capsys):
    found = run(tmp_path / "out.json")
    assert found["slices"] == 4
    assert found["slices_with_full"] == [2, 4]
    for metric in ("ndcg@20", "recall@20"):
        means = found[metric]
        assert means.keys() == set(MODELS)
        assert means["none"] == means["inductive"] == 0  # a model cannot list items that came after it
        assert means["incremental"] > max(means["recent"], means["full"]) + 0.1
        assert means["full"] > 0
    assert found["curves"]["ndcg@20"]["incremental"][0] == found["curves"]["ndcg@20"]["inductive"][0]  # one model
    spent = found["cpu_seconds_by_slice"]
    assert [value is not None for value in spent["full"]] == [False, True, False, True]
    assert [value is not None for value in spent["incremental"]] == [False, True, True, True]
    assert f"| {HIN} |" in capsys.readouterr().out

    again = run(tmp_path / "out.json", "--models", "incremental")  # the others keep their figures
    assert again["curves"] == found["curves"]
    assert again["cpu_seconds_by_slice"]["full"] == spent["full"]
    assert again["settings"]["kind"] == "closed_form"
    with pytest.raises(SystemExit, match="another seed"):
        run(tmp_path / "out.json", "--seed", "1")


def test_numbers_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(SystemExit):
        main(["--json", str(tmp_path / "out.json"), "--slices", "0"])
