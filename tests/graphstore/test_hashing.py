"""Hashing: the same name has the same place everywhere, and rows have length one."""

import zlib

import pytest
import torch

from graphstore.hashing import hashed


def test_each_row_has_length_one() -> None:
    rows = hashed([["a", "b"], [], ["a"]], 16)
    assert rows.norm(dim=1).tolist() == pytest.approx([1, 0, 1])
    assert torch.equal(hashed([["a"]], 16)[0], rows[2])
    assert hashed([], 16).shape == (0, 16)


def test_place_and_sign_are_those_of_the_checksum() -> None:
    """Models that were fitted earlier rely on them."""
    for name in ("food", "Möbel", ""):
        code = zlib.crc32(name.encode())
        row = hashed([[name]], 8)[0]
        assert row.nonzero().tolist() == [[(code >> 1) % 8]]
        assert row.sum() == (1 if code & 1 else -1)


def test_names_at_one_place_add_up() -> None:
    one = hashed([["a"]], 1)
    twin = next(name for name in map(str, range(99)) if torch.equal(hashed([[name]], 1), one))
    other = next(name for name in map(str, range(99)) if torch.equal(hashed([[name]], 1), -one))
    assert torch.equal(hashed([["a", twin]], 1), one)
    assert hashed([["a", other]], 1).tolist() == [[0.0]]
