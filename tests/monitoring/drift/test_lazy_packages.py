"""Packages by name: what is asked for is there, and nothing else was imported."""

import subprocess
import sys

import pytest

from monitoring.drift.lazy_packages import gathered_names

SHOP = """
import sys
sys.path.insert(0, sys.argv[1])
from monitoring.drift.lazy_packages import import_lazily
import_lazily(["shop", "shop.lists"])
from shop import Fruit, lists
assert Fruit.name == "apple" and lists.LENGTH == 3
assert "shop.meat" not in sys.modules
import shop
assert shop.meat.NAME == "ham"
try:
    shop.cheese
except AttributeError as error:
    assert "no attribute 'cheese'" in str(error)
else:
    raise SystemExit("a name that is not there was found")
"""


def test_a_name_brings_its_module_alone(tmp_path):
    shop = tmp_path / "shop"
    (shop / "lists").mkdir(parents=True)
    (shop / "__init__.py").write_text('"""A shop."""\nfrom . import lists, meat\nfrom .fruit import Apple as Fruit\n')
    (shop / "fruit.py").write_text('class Apple:\n    name = "apple"\n')
    (shop / "meat.py").write_text('NAME = "ham"\n')
    (shop / "lists" / "__init__.py").write_text('from shop.lists.sizes import LENGTH\n\n__all__ = ["LENGTH"]\n')
    (shop / "lists" / "sizes.py").write_text("LENGTH = 3\n")
    subprocess.run([sys.executable, "-c", SHOP, str(tmp_path)], check=True)


@pytest.mark.parametrize("line", ["import os", "from os import path", "from .fruit import *", "register()", "X = 1"])
def test_a_package_that_does_more_is_left_alone(line):
    assert gathered_names("from .fruit import Apple", "shop") == {"Apple": ("shop.fruit", "Apple")}
    assert gathered_names(f"from .fruit import Apple\n{line}", "shop") is None


def test_the_drift_test_needs_little_of_evidently():
    code = (
        "import sys\nfrom monitoring.drift.job import GATHERING_PACKAGES, import_lazily\n"
        "import_lazily(GATHERING_PACKAGES)\nimport monitoring.drift.evidently_report\n"
        "print(sorted({'nltk', 'litestar', 'evidently.ui', 'evidently.llm'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
