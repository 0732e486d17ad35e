"""Says aloud where there is no fuzzer."""

import importlib.util

import pytest

NO_FUZZER = "The decoder was not fuzzed: atheris has no wheel for this Python or machine"
HAS_FUZZER = importlib.util.find_spec("atheris") is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not HAS_FUZZER:
        terminalreporter.write_line(NO_FUZZER)
