"""Reports: serves Evidently's HTML files from the state directory to the operator.

Arrives: the name of a report. Leaves: the file. Next: the operator's browser. The monitor writes the files, and the web
process may run on another machine: then no link is drawn, and this page says where the files are.

The file is a page with scripts of its own, so it gets a policy of its own: a sandbox without an origin. Its scripts may
draw, but they may not read the cookie, send anything or load anything.
"""

import re
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from serving.web.dashboard import refusals
from serving.web.dashboard.access import operator_only
from serving.web.dashboard.refusals import ROOT

PLACE = f"{ROOT}reports/"
POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}\.html")


def leads(href: str) -> bool:
    """Return whether a link of a page leads somewhere: to a report only when this process can read it."""
    return not href.startswith(PLACE) or _file(href.removeprefix(PLACE)) is not None


@operator_only
@gzip_page
@require_safe
def report(request: HttpRequest, name: str) -> HttpResponse:
    """Return the report, or 404 that says where reports are."""
    path = _file(name)
    if path is None:
        return refusals.message(
            request,
            404,
            "This report is not here",
            "The monitor keeps the newest reports in the folder “reports” of its SAGESTREAM_STATE_DIR.",
            "To read them here, give the web process the same directory; it may be read-only.",
        )
    headers = {"Content-Security-Policy": POLICY}
    return HttpResponse(path.read_bytes(), content_type="text/html; charset=utf-8", headers=headers)


def _file(name: str) -> Path | None:
    """Return the path of a report that is there. A name holds no folder, and a link to elsewhere is no report."""
    if not _NAME.fullmatch(name):
        return None
    path: Path = settings.GRAPHSTORE.state_dir / "reports" / name
    try:
        return path if path.is_file() and not path.is_symlink() else None
    except OSError:  # a folder that this user may not enter
        return None
