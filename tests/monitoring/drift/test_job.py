"""The real child: it reads jobs, answers them and ends with its input."""

from pathlib import Path

import pytest

from monitoring.config import MonitoringConfig
from monitoring.drift.child import DriftChild
from monitoring.drift.job import plan_drift_job
from tests.monitoring.drift.conftest import END

TIMEOUT_SECONDS = 120.0


def test_without_an_event_there_is_no_job(sqlite_shop, tmp_path):
    assert plan_drift_job(sqlite_shop.engine, config=MonitoringConfig(), reports_dir=tmp_path, now=1) is None


@pytest.mark.slow
def test_the_same_data_make_the_same_report_again(weeks, tmp_path):
    weeks.trade()
    job = plan_drift_job(weeks.engine, config=MonitoringConfig(), reports_dir=tmp_path / "reports", now=END)
    with DriftChild(timeout_seconds=TIMEOUT_SECONDS) as child:
        first, second = child.run(job), child.run(job)
    assert first == second
    assert first.verdict == "stable"
    html = Path(first.report_html).read_text()
    assert 'src="http' not in html
    assert "#ed0400" in html  # the first of Evidently's colours
