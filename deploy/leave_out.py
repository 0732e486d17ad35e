"""Leave out: delete from a virtual environment what no process imports: headers, static libraries, tests of libraries.

Runs while the image is built, in the environment that it makes smaller. Every module that is left must be importable,
so tests are deleted only from libraries that do not import their own. (NumPy and Evidently do.)
"""

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

HEADERS = ("torch/include", "pyarrow/include", "numpy/_core/include", "torch/share/cmake")
TEST_PROGRAMS = ("torch/test",)
LIBRARIES_WITH_TESTS = (
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "statsmodels",
    "networkx",
    "sympy",
    "mpmath",
    "joblib",
)


def superfluous(packages: Path) -> Iterator[Path]:
    """Yield the directories and files that can go."""
    for name in (*HEADERS, *TEST_PROGRAMS):
        yield packages / name
    for library in LIBRARIES_WITH_TESTS:
        yield from (packages / library).rglob("tests")
    yield from packages.rglob("*.a")
    yield from packages.rglob("*.pyx")


def main() -> None:
    """Delete, and say how much."""
    freed = 0
    for path in list(superfluous(Path(sysconfig.get_path("purelib")))):
        if path.is_dir():
            freed += sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path)
        elif path.exists():
            freed += path.lstat().st_size
            path.unlink()
    print(f"left out: {freed / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
