"""Names: one-hot where they fit, hashed where not; a row is its group's alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphstore.hashing import hashed
from training.features.category_encoder import NameEncoder

groups = st.lists(st.lists(st.text(max_size=4), max_size=4, unique=True), max_size=6)


def test_names_that_fit_have_columns_of_their_own():
    encoder = NameEncoder.fit([["b", "a"], ["c"]], dim=4, encoding="one-hot")
    assert encoder.vocabulary == ["a", "b", "c"]
    rows = encoder.transform([["b"], ["a", "c"], ["new"], [], ["new", "c"]])
    assert rows.tolist() == [
        [0, 1, 0, 0],
        pytest.approx([0.5**0.5, 0, 0.5**0.5, 0]),
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 0],
    ]


def test_more_names_than_columns_are_hashed_and_a_new_one_has_its_place():
    names = [["a"], ["b"], ["c"]]
    encoder = NameEncoder.fit(names, dim=2, encoding="one-hot")
    assert encoder.vocabulary is None
    assert torch.equal(encoder.transform([["new"]]), hashed([["new"]], 2))
    assert encoder.transform([["new"]]).any()
    assert NameEncoder.fit(names, dim=3, encoding="hashed").vocabulary is None


@pytest.mark.parametrize("encoding", ["hashed", "one-hot"])
@given(known=groups, asked=groups)
def test_a_row_depends_on_its_group_alone(encoding, known, asked):
    encoder = NameEncoder.fit(known, dim=5, encoding=encoding)
    rows = encoder.transform(asked)
    assert rows.shape == (len(asked), 5)
    lengths = rows.norm(dim=1)
    assert ((lengths < 1e-6) | ((lengths - 1).abs() < 1e-5)).all()
    backwards = encoder.transform([group[::-1] for group in asked[::-1]])
    assert torch.equal(rows, backwards.flip(0))
    assert torch.equal(NameEncoder.from_state(encoder.state()).transform(asked), rows)
