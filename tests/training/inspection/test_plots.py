"""Pictures: what is drawn is what was given, files are the same bytes each time, and nothing is read as markup."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.inspection import plots
from training.options import FitEvaluation

K = np.arange(1, 101)
CURVES = {
    "m1": dict.fromkeys(plots.MEASURES, 1.0 / K),
    "recent popularity": dict.fromkeys(plots.MEASURES, 0.5 / K),
}
EVALUATIONS = [FitEvaluation(25, 5.5, 0.1), FitEvaluation(50, 4.0, 0.3), FitEvaluation(75, 3.5, 0.2)]
GROUPS = ["Tea", None, "Tea", "Coffee"]
POINTS = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
FIGURES = {
    "metric_curves": lambda: plots.metric_curves(CURVES, title="$m_1$"),
    "precision_recall": lambda: plots.precision_recall(CURVES, title="m"),
    "learning": lambda: plots.learning_curve(EVALUATIONS, kept_step=50, title="m"),
    "map": lambda: plots.embedding_map(POINTS, GROUPS, title="m", legend="category"),
    "degrees": lambda: plots.degree_distribution({"users": np.array([1, 1, 3, 0])}, title="m"),
    "bars": lambda: plots.benchmark_bars({"a": {"ndcg@20": (0.2, 0.01)}, "b": {"ndcg@20": (0.3, 0.0)}}, title="m"),
}


def words(figure: Figure) -> set[str]:
    """Titles, labels and legends of all panels."""
    found = {figure.get_suptitle().replace("\\", "")}
    for axes in figure.axes:
        found |= {axes.get_xlabel(), axes.get_ylabel()}
        if legend := axes.get_legend():
            found |= {text.get_text() for text in legend.get_texts()}
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_every_picture_is_the_same_bytes_each_time(tmp_path: Path, name: str) -> None:
    for ending in plots.FORMATS:
        files = [plots.save(FIGURES[name](), tmp_path / f"{place}{ending}") for place in range(2)]
        first, second = (file.read_bytes() for file in files)
        assert first == second
        assert first.startswith(b"\x89PNG" if ending == ".png" else b"<?xml")
        assert b"Date" not in first or ending == ".png"


@pytest.mark.parametrize("name", FIGURES)
def test_every_picture_has_a_title_and_every_axis_its_name(name: str) -> None:
    figure = FIGURES[name]()
    assert figure.get_suptitle()
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_shared_x_axes().get_siblings(axes) != [axes]
        assert axes.get_ylabel() or name in ("map", "bars")  # one has no unit, the other the models' names


def test_curves_hold_what_was_given() -> None:
    panels = plots.metric_curves(CURVES, title="m").axes
    assert [axes.get_ylabel().split("@")[0] for axes in panels] == list(plots.MEASURES.values())
    for axes in panels:
        assert [line.get_label() for line in axes.lines] == list(CURVES)
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), K)
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), 0.5 / K)
    (axes,) = plots.precision_recall(CURVES, title="m").axes
    assert [text.get_text() for text in axes.texts][:6] == ["k=1", "k=5", "k=10", "k=20", "k=50", "k=100"]


def test_the_learning_curve_marks_the_weights_that_were_kept() -> None:
    loss, ndcg = plots.learning_curve(EVALUATIONS, kept_step=50, title="m").axes
    assert list(loss.lines[0].get_ydata()) == [5.5, 4.0, 3.5]
    assert list(ndcg.lines[0].get_ydata()) == [0.1, 0.3, 0.2]
    assert "weights kept, step 50" in words(loss.get_figure())
    (only,) = plots.learning_curve([FitEvaluation(5, 1.0, None)], kept_step=5, title="m").axes
    assert list(only.lines[0].get_ydata()) == [1.0]
    with pytest.raises(ValueError, match="needs evaluations"):
        plots.learning_curve([], kept_step=0, title="m")


def test_the_map_has_a_colour_a_group_and_grey_for_the_rest() -> None:
    (axes,) = FIGURES["map"]().axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["Tea (2)", "Coffee (1)", "other (1)"]
    drawn = {str(part.get_label()): part for part in axes.collections}
    np.testing.assert_array_equal(drawn["Tea (2)"].get_offsets(), POINTS[[0, 2]])
    np.testing.assert_array_equal(drawn["other (1)"].get_offsets(), POINTS[[1]])
    assert len({part.get_facecolor().tobytes() for part in axes.collections}) == 3


def test_degrees_are_the_share_with_at_least_so_many() -> None:
    (axes,) = plots.degree_distribution({"items": np.array([1, 1, 3, 0])}, title="m").axes
    (line,) = axes.lines
    assert list(line.get_xdata()) == [1, 3]
    assert list(line.get_ydata()) == pytest.approx([1.0, 1 / 3])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert line.get_label() == "items (3, and 1 without events)"
    (empty,) = plots.degree_distribution({"items": np.zeros(0, np.int64)}, title="m").axes
    assert empty.get_xscale() == "linear"


def test_bars_stand_in_order_the_best_on_top() -> None:
    (axes,) = FIGURES["bars"]().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]  # from below
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.3]


def test_names_of_a_shop_are_text(tmp_path: Path) -> None:
    figure = plots.embedding_map(POINTS, ["$\\frac{$", "a\x1b[31m", "x" * 500, None], title="50 $ off", legend="c")
    plots.save(figure, tmp_path / "map.png")
    assert figure.get_suptitle() == r"50 \$ off"
    assert all(len(word) < 60 and "\x1b" not in word for word in words(figure))


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        plots.save(FIGURES["degrees"](), tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []
