"""Progress: how a long job tells what it does and how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with a line to show and the share done so far."""
