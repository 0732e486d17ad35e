"""Files of users: cells as attributes, labels in JSON."""

import os
from pathlib import Path

import pytest

from stream.events import UserAttributes, decode, encode, utc
from stream.sources.people import labels_of, users_part
from stream.sources.rejections import Rejections
from stream.sources.source import Reading
from tests.stream.sources.published import write


def test_cells_become_attributes_of_their_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "users.csv", "id,Age,Plan,Code,Long\nu,30,gold,007,1e400\n,1,a,b,\nv,1.5,,,\nnull,1,,,\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    reading = Reading(Rejections())
    (found,) = users_part(path, form="users", user="id").blocks(reading)
    assert [(one.user_id, one.attributes) for one in found if isinstance(one, UserAttributes)] == [
        ("u", {"age": 30, "plan": "gold", "code": "007", "long": "1e400"}),
        ("v", {"age": 1.5}),
    ]
    assert reading.rejections.counts == {"no user": 2}
    for event in found:
        assert isinstance(event, UserAttributes)
        assert decode(encode(event), UserAttributes, now=utc(1_700_000_000_000)) == event


@pytest.mark.parametrize(
    ("cell", "attributes"),
    [
        ('{"a": 1, "b": {"c": 2}, "d": null}', {"a": 1}),
        ('["vip", 3]', {"label.vip": True, "label.3": True}),
        ("a|b", {"label.a": True, "label.b": True}),
        ("", {}),
    ],
)
def test_labels(cell: str, attributes: dict[str, object]) -> None:
    assert labels_of(cell) == attributes
