"""Sample slots: a slots file to play with, in the state directory of a playground.

Arrives: the state directory. Leaves: its `slots.toml`, which the web server and the monitor follow. Next:
`sagestream.playground.services` names it in the settings of the processes.
"""

from importlib.resources import files
from pathlib import Path

from graphstore.files import written_whole

FILE = "slots.toml"


def place_sample(directory: Path) -> Path:
    """Write the sample, unless there is a file already: what somebody has changed stays. Return its path."""
    path = directory / FILE
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        sample = (files("sagestream.playground") / FILE).read_bytes()
        with written_whole(path) as temporary:
            temporary.write_bytes(sample)
    return path.resolve()
