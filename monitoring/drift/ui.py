"""UI: shows the workspace of drift reports in a browser, with Evidently's own server, without a network.

Arrives: `reports/workspace`. Leaves: pages on the loopback address. Next: a browser of the same machine.

Evidently's pages ask for no password and can delete reports, so the server listens on the loopback address alone. The
pages and their scripts come with the package.
"""

import os
from pathlib import Path

from graphstore.errors import UserError
from monitoring.drift.workspace import DIRECTORY
from stream.config import LOOPBACK


class NoReports(UserError):
    """There is no workspace yet."""


def show_workspace(state_dir: Path, *, port: int) -> None:
    """Serve the workspace until a signal ends the process. Raises `NoReports`; `OSError` for a port that is taken."""
    workspace = state_dir / "reports" / DIRECTORY
    if not workspace.is_dir():
        raise NoReports(f"there is no drift report yet in {state_dir}: the monitor writes the first one")
    os.environ["DO_NOT_TRACK"] = "1"
    import uvicorn
    from evidently.ui.service.app import create_app, get_config

    import monitoring.drift.own_metrics  # noqa: F401  # side effect: Evidently finds the metrics by their class

    app = create_app(get_config(host=LOOPBACK, port=port, workspace=str(workspace)))
    uvicorn.run(app, host=LOOPBACK, port=port, log_level="warning")
