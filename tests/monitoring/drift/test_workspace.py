"""The workspace: one project with its panels, and not more runs than are kept."""

import json
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Evidently's server and what it imports use parts of other libraries that will go
    import pandas as pd
    from evidently import Report
    from evidently.metrics import RowCount

    from monitoring.drift.workspace import DIRECTORY, save_runs


def run():
    return Report([RowCount()]).run(pd.DataFrame({"a": [1, 2]}), None)


def files(directory, name):
    return list((directory / DIRECTORY).rglob(name))


def test_runs_are_added_to_one_project_and_old_ones_are_removed(tmp_path):
    save_runs([run(), run()], tmp_path, kept=3)
    before = {path.name for path in files(tmp_path, "snapshots/*.json")}
    save_runs([run(), run()], tmp_path, kept=3)
    kept = {path.name for path in files(tmp_path, "snapshots/*.json")}
    assert (len(before), len(kept), len(kept - before)) == (2, 3, 2)
    assert len(files(tmp_path, "dashboard.json")) == 1


def test_the_panels_are_there_once(tmp_path):
    save_runs([run()], tmp_path)
    save_runs([run()], tmp_path)
    board = json.loads(files(tmp_path, "dashboard.json")[0].read_text())
    assert [tab["title"] for tab in board["tabs"]] == ["Drift", "Lists"]
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles)) == 5
