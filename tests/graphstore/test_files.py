"""A JSON file: read, or refused by the error that the caller names."""

import json

import pytest

from graphstore.files import read_json


class Refused(ValueError):
    pass


def test_what_it_says(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path, max_bytes=10, error=Refused) == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"a": [1]} ', "larger than 10 bytes"), (b"{", "no JSON"), (b"\xff", "no JSON")],
)
def test_what_it_cannot_be(content, said, tmp_path):
    path = tmp_path / "f.json"
    path.write_bytes(content)
    with pytest.raises(Refused, match=said):
        read_json(path, max_bytes=10, error=Refused)


def test_too_deep_is_no_json(tmp_path):
    path = tmp_path / "f.json"
    path.write_bytes(b"[" * 200_000)
    with pytest.raises(Refused, match="no JSON"):
        read_json(path, max_bytes=1_000_000, error=Refused)
