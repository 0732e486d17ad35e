from pathlib import Path

from sagestream.playground.sample_slots import FILE, place_sample
from serving.slots.slots_file import read_slots


def test_the_sample_shows_six_slots_without_a_warning(tmp_path: Path) -> None:
    path = place_sample(tmp_path)
    found = read_slots(path)
    assert (path.name, len(found.slots), found.warnings) == (FILE, 6, [])


def test_a_file_that_somebody_has_changed_stays(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[home]")
    assert place_sample(tmp_path).read_text() == "[home]"
