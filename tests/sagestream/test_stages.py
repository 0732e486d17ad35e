"""What a job tells while it runs."""

import io

import pytest

from sagestream.printable import PlainConsole
from sagestream.stages import Stages


def test_a_stage_is_timed_and_told_once() -> None:
    out = io.StringIO()
    stages = Stages(PlainConsole(file=out))
    for _ in range(2):
        with stages.stage("import", "Import") as report:
            report("half", 0.5)
    assert set(stages.seconds) == {"import"}
    assert out.getvalue().count("Import") == 2
    assert stages.elapsed >= stages.seconds["import"]


def test_a_stage_that_fails_is_not_told_as_done() -> None:
    out = io.StringIO()
    stages = Stages(PlainConsole(file=out))
    with pytest.raises(ValueError, match="no"), stages.stage("import", "Import"):
        raise ValueError("no")
    assert "✓" not in out.getvalue()
