"""How a figure is laid out and escaped."""

import pytest

from serving.web.dashboard.drawn import DrawnFigure
from tests.serving.web.dashboard.sample import HOSTILE


@pytest.mark.parametrize(
    ("figure", "layout"),
    [
        (DrawnFigure("12", kind="number"), "number"),
        (DrawnFigure("m1795952003686-10"), "name"),
        (DrawnFigure("two words"), ""),
        (DrawnFigure("kept: not shown to be better"), "prose"),
        (DrawnFigure("x" * 200), "prose"),
    ],
)
def test_names_stay_whole_and_prose_gets_room(figure: DrawnFigure, layout: str) -> None:
    assert figure.layout == layout


def test_every_text_of_a_figure_is_escaped() -> None:
    quoted = f'" onclick="x" {HOSTILE}'
    html = str(DrawnFigure(HOSTILE, HOSTILE, HOSTILE, href=f"/a{quoted}", title=quoted, state="bad").html)
    assert "<script" not in html and 'onclick="' not in html
    assert html.count("&lt;script&gt;") == 5
    assert '<span class="state">bad</span>' in html
