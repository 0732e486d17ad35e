"""A part that is not installed is named with the extra that brings it."""

import pytest

from sagestream.extras import require


def test_what_is_missing_names_its_extra() -> None:
    require("json", extra="plots")
    with pytest.raises(ImportError, match=r'no_such_part is not installed: pip install "\.\[plots\]"'):
        require("no_such_part", extra="plots")
