"""Evidently's reports: only files of the folder, only for the operator, in a sandbox."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving.dashboard.blocks import Cell, Column, Page, Row, Rows
from serving.dashboard.store import write_page
from tests.serving.web.dashboard.test_pages import now, text_of

NAME = "drift-20260101T000000Z-20260102T000000Z.html"


@pytest.fixture
def folder(operator: Client, settings: LazySettings, redis_url: str, tmp_path: Path) -> Path:
    settings.GRAPHSTORE = GraphstoreConfig(redis_url=redis_url, state_dir=tmp_path)
    made = tmp_path / "reports"
    made.mkdir()
    return made


def test_a_report_is_served_in_a_sandbox(operator: Client, folder: Path) -> None:
    (folder / NAME).write_text("<script>1</script>")
    answer = operator.get(f"/dashboard/reports/{NAME}")
    assert (answer.status_code, answer.content) == (200, b"<script>1</script>")
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts;") and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy
    assert Client().get(f"/dashboard/reports/{NAME}").status_code == 303


def test_no_other_file_is_served(operator: Client, folder: Path) -> None:
    (folder.parent / "secret.html").write_text("secret")
    (folder / "link.html").symlink_to(folder.parent / "secret.html")
    (folder / "folder.html").mkdir()
    (folder / "drift.json").write_text("{}")
    names = ("..%2Fsecret.html", "%2E%2E/secret.html", "link.html", "folder.html", "drift.json", "none.html", ".html",
             "a%00.html", "x" * 300 + ".html")  # fmt: skip
    for name in names:
        answer = operator.get(f"/dashboard/reports/{name}")
        assert answer.status_code == 404, name
        assert b"secret" not in answer.content


def test_a_link_is_drawn_only_where_the_report_can_be_read(operator: Client, folder: Path, redis: Redis) -> None:
    rows = [Row(cells=[Cell(value="report", href=f"/dashboard/reports/{NAME}")])]
    block = Rows(title="Drift", columns=[Column(name="report")], rows=rows)
    write_page(redis, Page(name="drift", title="Drift", made_at=now(), blocks=[block]))
    assert NAME not in text_of(operator, "/dashboard/drift/")
    (folder / NAME).write_text("x")
    assert f'href="/dashboard/reports/{NAME}"' in text_of(operator, "/dashboard/drift/")
