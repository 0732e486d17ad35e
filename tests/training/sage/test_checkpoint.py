"""A fit that was killed and goes on ends where one ends that was not; a file of another fit is of no use to it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard
from training.config import SageConfig
from training.data.event_log import EventLog
from training.data.windows import Window
from training.options import TrainingOptions
from training.sage.checkpoint import fingerprint, save_checkpoint, take_checkpoint
from training.sage.fit import fit_sage

ALL = checkerboard()
CUT = 5 * DAY_MS
LOG = ALL.between(end=CUT)
FEATURES = torch.randn(LOG.num_items, 3, generator=torch.Generator().manual_seed(0))
WINDOW = Window.cut(ALL, start=CUT, repeats=False)
CONFIG = SageConfig(
    dim=8, half_lives_ranks=(2.0, float("inf")), batch_size=48, learning_rate=0.02, evaluate_every=3, patience=3,
    max_steps=20, repeats=False, graph_edges=100,
)  # fmt: skip


class Killed(Exception):
    pass


def killing(after: int):
    """A progress callback that kills the fit at its so-manieth look."""
    evaluations: list[str] = []

    def progress(line: str, share: float) -> None:
        evaluations.append(line)
        if len(evaluations) == after:
            raise Killed

    return progress, evaluations


def run(
    config: SageConfig = CONFIG,
    *,
    log: EventLog = LOG,
    features: torch.Tensor = FEATURES,
    window: Window | None = WINDOW,
    **options,
):
    options = TrainingOptions(**{"seed": 0, **options})
    return fit_sage(log, features, config=config, options=options, validation=window)


@pytest.mark.parametrize(
    "settings",
    [{}, {"neighbours": (3, 3, 3, 3)}, {"aggregation": "max", "decoder": "mlp", "layers": 1}],
    ids=["whole graph", "sampled", "max and network"],
)
@pytest.mark.parametrize("window", [WINDOW, None], ids=["with window", "without"])
def test_a_killed_fit_goes_on_to_the_same_weights(tmp_path, settings, window):
    config = CONFIG.model_copy(update=settings)
    path = tmp_path / "fit.pt"
    whole = run(config, window=window)
    for after in (1, 2):  # killed twice, and in the middle of a pass over the baskets
        with pytest.raises(Killed):
            run(config, window=window, checkpoint=path, progress=killing(after)[0])
        assert path.exists()
    resumed = run(config, window=window, checkpoint=path)
    assert resumed.steps == whole.steps
    ours, theirs = resumed.state(), whole.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_and_does_not_start_anew(tmp_path):
    progress, before = killing(2)
    with pytest.raises(Killed):
        run(checkpoint=tmp_path / "fit.pt", progress=progress)
    progress, after = killing(1)
    with pytest.raises(Killed):
        run(checkpoint=tmp_path / "fit.pt", progress=progress)
    assert [line.split()[1] for line in before + after] == ["3", "6", "9"]


def test_killed_at_the_last_look_there_is_nothing_left_to_do(tmp_path):
    _, evaluations = killing(0)
    whole = run(progress=lambda line, share: evaluations.append(line))
    progress, _ = killing(len(evaluations))
    with pytest.raises(Killed):
        run(checkpoint=tmp_path / "fit.pt", progress=progress)
    more: list[str] = []
    resumed = run(checkpoint=tmp_path / "fit.pt", progress=lambda line, share: more.append(line))
    assert more == []
    assert torch.equal(resumed.state()["embeddings"], whole.state()["embeddings"])


@pytest.mark.parametrize(
    "other",
    [
        lambda path: run(CONFIG.model_copy(update={"learning_rate": 0.01}), checkpoint=path),
        lambda path: run(seed=1, checkpoint=path),
        lambda path: run(window=None, checkpoint=path),
        lambda path: run(log=LOG.between(end=4 * DAY_MS), checkpoint=path),
        lambda path: run(features=FEATURES + 1, checkpoint=path),
    ],
    ids=["settings", "seed", "window", "log", "features"],
)
def test_another_fit_starts_anew(tmp_path, other):
    path = tmp_path / "fit.pt"
    unhindered = other(tmp_path / "other.pt")
    with pytest.raises(Killed):
        run(checkpoint=path, progress=killing(1)[0])
    found = other(path)
    assert found.evaluations == unhindered.evaluations
    assert torch.equal(found.state()["embeddings"], unhindered.state()["embeddings"])
    assert list(tmp_path.iterdir()) == []


def hole(whole: bytes) -> bytes:
    """Zeros in the middle of a tensor, as of a page that never came to the disk."""
    place = whole.index(torch.arange(SAVED, dtype=torch.float32).numpy().tobytes())
    return whole[: place + 400] + bytes(800) + whole[place + 1200 :]


SAVED = 1000


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: bytes(len(whole)), hole],
    ids=["empty", "half", "zeros", "hole"],
)
def test_a_damaged_file_is_of_no_use(tmp_path, damage):
    path = tmp_path / "fit.pt"
    save_checkpoint(path, {"weights": torch.arange(SAVED, dtype=torch.float32)}, fingerprint="a")
    path.write_bytes(damage(path.read_bytes()))
    assert take_checkpoint(path, fingerprint="a") is None
    assert not path.exists()


def test_a_state_that_breaks_the_fit_breaks_it_once(tmp_path):
    path = tmp_path / "fit.pt"
    mark = fingerprint(LOG, FEATURES, WINDOW, config=CONFIG, seed=0)
    save_checkpoint(path, {"descent": "of an older form"}, fingerprint=mark)
    with pytest.raises(TypeError):
        run(checkpoint=path)
    assert run(checkpoint=path).evaluations == run().evaluations


def test_a_write_that_fails_leaves_the_older_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"
    save_checkpoint(path, {"steps": 1}, fingerprint="a")

    def failing(value: object, to: Path) -> None:
        to.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", failing)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(path, {"steps": 2}, fingerprint="a")
    assert list(tmp_path.iterdir()) == [path]
    assert take_checkpoint(path, fingerprint="a") == {"steps": 1}
    assert take_checkpoint(tmp_path / "none.pt", fingerprint="a") is None


def test_equal_fits_have_equal_fingerprints():
    prints = [
        fingerprint(log, FEATURES, WINDOW, config=CONFIG, seed=0) for log in (LOG, checkerboard().between(end=CUT))
    ]
    assert prints[0] == prints[1]
    assert np.array_equal(LOG.items, checkerboard().between(end=CUT).items)
