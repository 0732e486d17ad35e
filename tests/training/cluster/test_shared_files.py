"""A worker takes the files of the caller and no others."""

from dataclasses import replace
from pathlib import Path

import pytest

from training.cluster.ray_tasks import RayFailed
from training.cluster.shared_files import SharedFiles


@pytest.fixture
def directories(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("bundle", "snapshot"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    return tmp_path / "bundle", tmp_path / "snapshot"


def test_the_same_files_are_taken_by_their_absolute_paths(
    directories: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = SharedFiles.of(Path("bundle"), Path("snapshot"))
    monkeypatch.chdir("/")
    assert files == SharedFiles.of(*directories)
    assert files.checked() == files.paths == tuple(path.resolve() for path in directories)


def test_other_files_and_missing_ones_are_refused(directories: tuple[Path, Path]) -> None:
    files = SharedFiles.of(*directories)
    for change in (lambda file: file.write_text("other"), lambda file: file.rename(file.with_name("renamed"))):
        change(directories[1] / "content")
        with pytest.raises(
            RayFailed, match=r"other files in .*bundle or .*snapshot: each machine needs the same files"
        ):
            files.checked()
        (directories[1] / "content").write_text("snapshot")
    away = replace(files, directories=(files.directories[0], "/nowhere"))
    with pytest.raises(RayFailed, match="a worker has no /nowhere: each machine needs the files at the same path"):
        away.checked()
