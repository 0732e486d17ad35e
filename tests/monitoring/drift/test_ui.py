"""The pages of the workspace: on this machine alone, and a clear word before the first report."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from monitoring.drift.ui import NoReports, show_workspace
from sagestream.playground.embedded import free_port
from tests.waiting import wait_until

WORKSPACE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import pandas as pd
from evidently import Report
from evidently.metrics import RowCount
from monitoring.drift.workspace import save_runs
save_runs([Report([RowCount()]).run(pd.DataFrame({"a": [1]}), None)], Path(sys.argv[1]))
"""


def test_before_the_first_report_there_is_nothing_to_show(tmp_path):
    with pytest.raises(NoReports, match="no drift report yet"):
        show_workspace(tmp_path, port=1)


@pytest.mark.slow
def test_the_pages_come_from_this_machine(tmp_path):
    subprocess.run([sys.executable, "-c", WORKSPACE, str(tmp_path / "reports")], check=True, env=os.environ)
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "sagestream", "monitor", "ui", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "SAGESTREAM_STATE_DIR": str(tmp_path)}) as server:

        def projects():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/projects", timeout=60) as answer:
                    return json.load(answer)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, "the server has ended"
                return None

        try:
            wait_until(projects, seconds=60)
            assert [one["name"] for one in projects()] == ["Sagestream"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                assert 'src="http' not in page.read().decode()
        finally:
            server.terminate()
