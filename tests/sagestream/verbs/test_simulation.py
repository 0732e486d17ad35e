"""`simulate` as a shop calls it."""

from pathlib import Path

import pytest

from tests.sagestream.verbs.commands import run

SMALL = ("--days", "2", "--shoppers", "60", "--items", "40", "--injection", "price_shock", "--injection-day", "1")


@pytest.mark.service
@pytest.mark.slow
def test_two_policies_keep_a_shop(tmp_path: Path) -> None:
    settings = {"STATE_DIR": str(tmp_path / "state")}
    done = run("simulate", *SMALL, "--policies", "oracle,popularity", settings=settings)
    assert done.code == 0, done.err
    assert "On day 1: half of the categories become much dearer." in done.out
    assert "oracle: knows what each shopper likes" in done.out
    assert "Keep the shop: popularity" in done.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policies", "luck"), "no policy luck: there are frozen"),
        (("--policies", " , "), "name at least one policy"),
        (("--injection", "flood"), "no injection flood"),
        (("--injection", "bots", "--injection-day", "10"), "before the last day"),
        (("--dataset", "nothing.csv"), "nothing.csv is neither complete-journey nor a file"),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run("simulate", *words, settings={"STATE_DIR": str(tmp_path / "state")})
    assert done.code in (1, 2)
    assert said in done.err + str(done.error)
