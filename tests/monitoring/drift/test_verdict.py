"""A verdict as a row of metric_windows."""

import json

from monitoring.drift.verdict import ColumnDrift, DriftResult
from monitoring.windows import TimeWindow


def test_the_figure_holds_the_share_and_all_the_rest_as_json():
    result = DriftResult(
        "drift",
        "2 of 4",
        TimeWindow(0, 5),
        TimeWindow(5, 9),
        10,
        20,
        share=0.5,
        scores={"price": 0.3},
        columns=[ColumnDrift("price", "trailing", 0.3, 0.1, 0.001, True, 300, 200)],
        report_html="a.html",
    )
    figure = result.figure()
    assert (figure.metric, figure.segment, figure.window, figure.value) == ("drift", "all", TimeWindow(5, 9), 0.5)
    detail = json.loads(json.dumps(figure.detail))
    assert detail["verdict"] == "drift"
    assert detail["reference"] == {"start": 0, "end": 5}
    assert (detail["scores"], detail["report_html"]) == ({"price": 0.3}, "a.html")
    assert (detail["columns"][0]["p"], detail["columns"][0]["n_current"]) == (0.001, 200)


def test_no_verdict_is_no_value():
    result = DriftResult("insufficient", "not enough data", TimeWindow(0, 5), TimeWindow(5, 9), 0, 0)
    assert result.figure().value is None
