from pathlib import Path

import pytest

from serving.cache import unpack
from serving.ranker import UnusableModel, load_ranker, rank
from tests.serving.toy import ToyRanker


def test_a_list_for_each_history() -> None:
    ranker = ToyRanker()
    favourite, cold = (unpack(raw) for raw in rank(ranker, [[(13, 1, 0)], []], as_of=50, k=3))
    assert favourite.item_keys.tolist() == [13, 11, 12]
    assert cold.item_keys.tolist() == [11, 12, 13]
    assert favourite.as_of == 50
    assert ranker.asked_as_of == [50]


def test_a_list_longer_than_the_catalogue_is_cut() -> None:
    assert len(unpack(rank(ToyRanker(), [[]], as_of=1, k=9)[0])) == 5


def test_a_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="nowhere"):
        load_ranker(tmp_path / "nowhere")
