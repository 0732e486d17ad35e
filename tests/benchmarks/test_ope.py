"""The benchmark of off-policy evaluation, with few runs."""

import json
from pathlib import Path

from benchmarks import ope


def test_the_table_has_every_case_and_refuses_what_it_must(tmp_path: Path) -> None:
    said: list[str] = []
    ope.main(["--json", str(tmp_path / "ope.json"), "--runs", "20"], say=said.append)
    cases = json.loads((tmp_path / "ope.json").read_text())["cases"]
    assert len(said) == len(cases) == len(ope.CASES)
    sound = cases["temperature 0.5, 400 shoppers"]
    assert sound["refused"] == 0
    assert abs(sound["dr"]["bias"]) < 0.05
    assert sound["ips"]["coverage"] > 0.7
    assert cases["temperature 0.5, 25 shoppers"]["refused"] == 1
