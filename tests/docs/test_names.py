"""Names between back-ticks, in pages and docstrings: each means something that is there."""

import re

import pytest

from tests.docs.code_names import known
from tests.docs.docstrings import Remark, remarks, remarks_of
from tests.docs.pages import PACKAGES, ROOT, Page, page, pages

DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\))?")
PATH = re.compile(rf"(?:{'|'.join((*PACKAGES, 'tests', 'benchmarks', 'docs'))})/[\w./-]*")


def unknown(remark: Remark) -> list[str]:
    """Its dotted names that mean nothing."""
    names = (DOTTED.fullmatch(span) for span in remark.spans)
    return [name[1] for name in names if name and not known(name[1], remark.path)]


def test_every_dotted_name_of_a_docstring_is_there() -> None:
    missing = [f"{remark.place}: {name}" for remark in remarks() for name in unknown(remark)]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_dotted_name_of_a_page_is_there(page: Page) -> None:
    names = (DOTTED.fullmatch(span) for span in page.spans)
    missing = [name[1] for name in names if name and not known(name[1])]
    assert not missing, missing


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_path_of_a_page_is_there(page: Page) -> None:
    missing = [span for span in page.spans if PATH.fullmatch(span) and not (ROOT / span).exists()]
    assert not missing, missing


def test_every_path_of_a_docstring_is_there() -> None:
    missing = [
        f"{remark.place}: {span}"
        for remark in remarks()
        for span in remark.spans
        if PATH.fullmatch(span) and not (ROOT / span).exists()
    ]
    assert not missing, "\n".join(missing)


def test_a_stale_name_is_noticed() -> None:
    for good in ("stream.events.Interaction", "graphstore.ingest", "stream.kafka.lag.PartitionLag.behind"):
        assert known(good), good
    for bad in ("stream.events.Interactoin", "stream.nothing", "graphstore.ingest.ingest.more", "worker.app"):
        assert not known(bad), bad
    path = ROOT / "stream" / "worker" / "app.py"
    assert known("events.decode", path)  # imported there
    assert known("retry.retry_until_reachable", path)  # of the same room
    assert known("HeteroData.to_dict") and not known("HeteroData.to_dicts")  # a library's class that we import
    assert known("config.worker_id", path)  # an argument, by its annotation
    assert not known("config.no_such_setting", path)
    assert not known("events.decode")  # a page imports nothing


def test_names_were_found_at_all() -> None:
    assert sum(bool(DOTTED.fullmatch(span)) for remark in remarks() for span in remark.spans) > 300
    assert remarks_of(ROOT / "stream" / "events.py")[0].text.startswith("The event contract")
    assert page("README.md").spans
