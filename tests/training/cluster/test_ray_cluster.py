"""A Ray of our own is reached from this machine alone, and leaves nothing; a cluster that is away is told at once."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sagestream.playground.embedded import LOOPBACK, free_port
from tests.training.ray_workers import needs_ray
from training.cluster.ray_cluster import RayAway, joined_ray

PROGRAM = """
import json, os, sys, tempfile
from pathlib import Path
import psutil
from training.cluster.ray_cluster import local_ray

tempfile.tempdir = sys.argv[1]
own = psutil.Process()
with local_ray(1) as at_once:
    there = [own, *own.children(recursive=True)]
    listening = {
        found.laddr.ip.removeprefix("::ffff:")
        for process in there for found in process.net_connections() if found.status == "LISTEN"
    }
    names = [process.name() for process in there]
print(json.dumps({
    "at_once": at_once, "listening": sorted(listening), "names": names, "left": list(os.listdir(sys.argv[1])),
    "alive": len(psutil.wait_procs(there[1:], timeout=30)[1]), "usage": os.environ["RAY_USAGE_STATS_ENABLED"],
    "home": list(os.listdir(os.environ["HOME"])),
}))
"""


@pytest.mark.slow
@needs_ray
def test_an_own_ray_listens_on_the_loopback_interface_alone_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with tempfile.TemporaryDirectory(prefix="s-") as short:  # the path of a socket has a hundred characters at most
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, short],
            env={**os.environ, "HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["listening"] == [LOOPBACK]
    assert (told["at_once"], told["alive"], told["usage"]) == (1, 0, "0")
    assert told["left"] == told["home"] == []
    assert any("raylet" in name for name in told["names"])


@pytest.mark.slow
@needs_ray
def test_an_own_ray_that_cannot_start_says_so(tmp_path: Path) -> None:
    program = "import sys\nfrom training.cluster.ray_cluster import local_ray\nwith local_ray(1): pass"
    away = tmp_path / ("d" * 120)  # the path of a socket has a hundred characters at most
    away.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(away)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    assert "RayAway: no Ray starts on this machine: " in done.stderr.splitlines()[-1]


def test_a_cluster_that_is_away_is_told_at_once() -> None:
    address = f"{LOOPBACK}:{free_port()}"
    with pytest.raises(RayAway, match=rf"{address} \(.*refused"), joined_ray(address):
        raise AssertionError("joined")


def test_what_is_no_address_is_not_tried() -> None:
    with pytest.raises(ValueError, match="a Ray cluster is at host:port, or auto"), joined_ray("ray://host:10001"):
        raise AssertionError("joined")
