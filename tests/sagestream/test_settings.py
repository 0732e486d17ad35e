"""Every setting once, few of them, and a word for each variable that is not one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sagestream.settings import CONFIGS, CONSTANTS, PROBE_PORTS, foreign_variables, variables
from training.config import TrainingFile

ROOT = Path(__file__).parents[2]
SETTINGS = [name for config in CONFIGS.values() for name in variables(config)]


def test_settings_are_few_and_no_two_packages_have_one_of_the_same_name() -> None:
    assert len(SETTINGS) <= 80  # a new one needs somebody who would set it
    assert len(SETTINGS) == len(set(SETTINGS))
    assert not set(SETTINGS) & {*TrainingFile.model_fields, *CONSTANTS, *PROBE_PORTS}


@pytest.mark.parametrize("place", CONSTANTS.values())
def test_a_constant_that_was_a_setting_stands_where_it_is_said_to_with_its_meaning(place: str) -> None:
    module, _, name = place.rpartition(".")
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert re.search(rf'^{name} = [\d_.* ]+\n""".+', source, re.MULTILINE), place


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("SAGESTREAM_LISTLENGTH", "is not a setting: did you mean SAGESTREAM_LIST_LENGTH?"),
        ("sagestream_kafka_bootstrap", "is not a setting: did you mean SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS?"),
        ("SAGESTREAM_XYZZY", "is not a setting"),
        ("SAGESTREAM_", "is not a setting"),
        ("SAGESTREAM_WORKER_PORT", "is no longer read: SAGESTREAM_PROBE_PORT sets the ports of all processes"),
        ("SAGESTREAM_HISTORY_LIMIT", "is no longer read: the value is fixed, as serving.source.HISTORY_LIMIT"),
        ("SAGESTREAM_TEXT_ENCODER", 'is no longer read: set "text_encoder" in the training file that '),
        ("SAGESTREAM_SAGE__DIM", 'is no longer read: set "dim" under "sage" in the training file that '),
        ("SAGESTREAM_SAGE__WIDTH", 'is no longer read: set "sage" in the training file that '),
        ("SAGESTREAM_SAGE", 'is no longer read: set "sage" in the training file that '),
    ],
)
def test_a_variable_that_nothing_reads_is_told(variable: str, said: str) -> None:
    (message,) = foreign_variables([variable, "SAGESTREAM_API_KEY", "sagestream_state_dir", "PATH"])
    assert message.startswith(f"{variable} {said}")
    if said.endswith("that "):
        assert message.endswith("SAGESTREAM_TRAINING_CONFIG names")
    else:
        assert message == f"{variable} {said}"


def test_every_process_warns_once_at_its_start() -> None:
    variables = {"SAGESTREAM_WORKER_PORT": "1", "SAGESTREAM_SAGE__DIM": "x", "SAGESTREAM_STATE_DIR": "here"}
    command = [sys.executable, "-m", "sagestream", "--help"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert first.startswith("sagestream: warning: SAGESTREAM_SAGE__DIM is no longer read")
    assert second.startswith("sagestream: warning: SAGESTREAM_WORKER_PORT is no longer read")
    assert "warning" not in done.stdout
