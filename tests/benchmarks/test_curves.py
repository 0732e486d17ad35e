"""The means and ratios of the incremental benchmark, by hand."""

import json

import pytest

from benchmarks.curves import Curves, as_markdown
from benchmarks.curves_plot import curves_figure, save_plot


def filled() -> Curves:
    curves = Curves()
    for index, (ours, recent) in enumerate([(0.2, 0.1), (0.3, 0.1), (0.4, 0.2), (0.1, 0.2)]):
        curves.add("incremental", index, {"ndcg@20": ours, "recall@20": 2 * ours})
        curves.add("recent", index, {"ndcg@20": recent, "recall@20": recent})
    for index, full in ((1, 0.2), (3, 0.2)):
        curves.add("full", index, {"ndcg@20": full, "recall@20": full})
        curves.spend("full", index, 50.0)
    for index, seconds in ((1, 3.0), (2, 40.0), (3, 5.0)):
        curves.spend("incremental", index, seconds)
    return curves


def test_means_are_over_the_slices_with_a_full_model():
    found = filled().as_json()
    assert found["slices"] == 4
    assert found["slices_with_full"] == [2, 4]
    assert found["ndcg@20"]["incremental"] == pytest.approx(0.2)
    assert found["ndcg@20"]["recent"] == pytest.approx(0.15)
    assert found["ndcg@20"]["none"] is None  # was not measured
    assert found["recall@20"]["incremental"] == pytest.approx(0.4)
    assert found["cpu_seconds"] == {"incremental": 4.0, "full": 50.0}
    ratios = found["incremental_to_full"]
    assert ratios["ndcg@20"] == pytest.approx(1.0)
    assert ratios["cpu_seconds"] == pytest.approx(0.08)
    assert (ratios["first_half"], ratios["last_half"]) == (pytest.approx(1.5), pytest.approx(0.5))
    assert found["curves"]["ndcg@20"]["full"] == [None, 0.2, None, 0.2]


def test_figures_of_other_models_stay_when_one_is_measured_again():
    stored = json.loads(json.dumps(filled().as_json()))
    again = Curves.from_json(stored, again=["incremental"])
    assert again.metrics["ndcg@20"]["recent"] == filled().metrics["ndcg@20"]["recent"]
    assert again.metrics["ndcg@20"]["incremental"] == {}
    assert again.cpu_seconds == filled().cpu_seconds
    again.spend("full", 1, None)  # the bundle was there
    assert again.cpu_seconds["full"][1] == 50.0
    assert Curves.from_json(None).as_json()["slices"] == 0


def test_the_table_shows_what_is_missing_as_a_dash():
    lines = as_markdown({"sets": {"shop": filled().as_json()}}).splitlines()
    assert lines[-1] == "| shop | – | – | 0.2000 | 0.2000 | 0.1500 | 100.0% | 4.0 · 50.0 | 8.0% |"


def test_the_plot_has_a_line_for_each_model_and_marks_for_few_full_runs(tmp_path):
    report = {"sets": {"shop": filled().as_json(), "other": filled().as_json()}}
    figure = curves_figure(report)
    assert [axes.get_title() for axes in figure.axes] == ["shop", "other"]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert lines.keys() == {"incremental", "full", "recent"}
    assert (lines["full"].get_marker(), lines["full"].get_linestyle()) == ("D", "None")
    assert list(lines["full"].get_xdata()) == [2, 4]
    assert list(lines["incremental"].get_ydata()) == pytest.approx([0.2, 0.3, 0.4, 0.1])
    assert save_plot(report, tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
