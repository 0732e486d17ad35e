"""Charts: what is drawn is what was measured, and nothing else."""

import re
from itertools import pairwise

from serving.dashboard.blocks import Chart, Line, Point
from serving.web.dashboard.charts import HEIGHT, WIDTH, draw
from tests.serving.web.dashboard.sample import DAY_MS, traffic

NOW = 1_700_000_000_000


def corners(path: str) -> list[list[tuple[int, int]]]:
    """The corners of a path of lines, part by part, each from the left and from the top."""
    parts = []
    for part in re.findall(r"M([^M]*)", path):
        (x, y), *rest = [(int(x), int(y)) for x, y in re.findall(r"(-?\d+) (-?\d+)", part)]
        found = [(x, y)]
        for to_x, to_y in rest:
            x, y = x + to_x, y + to_y
            found.append((x, y))
        parts.append(found)
    return parts


def chart(*values: float | None, step: int = DAY_MS) -> Chart:
    points = [Point(NOW + n * step, value) for n, value in enumerate(values)]
    return Chart(title="CTR", unit="share", lines=[Line(name="all", points=points)])


def test_a_line_goes_through_its_values() -> None:
    drawing = draw(chart(0.0, 0.02, 0.04))
    assert drawing is not None
    assert corners(drawing.lines[0].path) == [[(0, HEIGHT), (WIDTH // 2, HEIGHT // 2), (WIDTH, 0)]]
    assert drawing.zero
    assert drawing.lines[0].newest == "4.00\u202f%"
    assert "lowest 0\u202f%, highest 4.00\u202f%" in drawing.summary


def test_nothing_is_drawn_where_nothing_was_measured() -> None:
    drawing = draw(chart(0.01, 0.02, None, 0.04, 0.03, None, 0.02))
    assert drawing is not None
    assert [len(part) for part in corners(drawing.lines[0].path)] == [2, 2]
    assert corners(drawing.lines[0].dots + "0 0") and drawing.lines[0].dots.startswith(f"M{WIDTH} ")
    missing = chart(*[0.01] * 5)
    late = [Point(point.at + 30 * DAY_MS, 0.02) for point in missing.lines[0].points]
    hole = Chart(title="CTR", lines=[Line(name="all", points=[*missing.lines[0].points, *late])])
    drawing = draw(hole)
    assert drawing is not None
    assert [len(part) for part in corners(drawing.lines[0].path)] == [5, 5]
    assert draw(chart(None, None)) is None
    assert draw(Chart(title="CTR", lines=[])) is None


def test_the_band_is_the_interval() -> None:
    points = [Point(NOW, 0.02, 0.0, 0.04), Point(NOW + DAY_MS, 0.02, 0.01, 0.03)]
    drawing = draw(Chart(title="CTR", lines=[Line(name="all", points=points)]))
    assert drawing is not None
    assert corners(drawing.lines[0].band) == [[(0, 0), (WIDTH, 250), (WIDTH, 750), (0, 1000)]]
    assert drawing.lines[0].band.endswith("z")


def test_bars_stand_side_by_side_inside_the_box() -> None:
    lines = [Line(name=name, points=[Point(NOW + n * DAY_MS, 5.0) for n in range(4)]) for name in "ab"]
    drawing = draw(Chart(title="orders", form="bars", lines=lines))
    assert drawing is not None
    edges = [[int(x) for x in re.findall(r"M(-?\d+) ", line.path)] for line in drawing.lines]
    widths = [int(width) for width in re.findall(r"h(\d+)", drawing.lines[0].path)]
    ordered = sorted(edges[0] + edges[1])
    assert len(ordered) == 8 and len({*ordered}) == 8
    assert min(after - before for before, after in pairwise(ordered)) >= widths[0]
    assert ordered[0] >= 0 and ordered[-1] + widths[0] <= WIDTH


def test_marks_are_inside_and_their_letters_never_upon_each_other() -> None:
    drawing = draw(traffic(1000, now=NOW).blocks[0])  # type: ignore[arg-type]
    assert drawing is not None
    assert [(mark.kind, mark.letter) for mark in drawing.marks] == [
        ("promotion", "P"),
        ("rollback", ""),
        ("alarm", "!"),
    ]
    assert all(0 <= mark.x <= WIDTH for mark in drawing.marks)


def test_a_thousand_days_of_three_lines_are_small() -> None:
    drawing = draw(traffic(1000, now=NOW).blocks[0])  # type: ignore[arg-type]
    assert drawing is not None
    assert sum(len(line.path) + len(line.band) for line in drawing.lines) < 90_000
    assert sum(len(part) for part in corners(drawing.lines[0].path)) == 980
