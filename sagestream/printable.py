"""Printable text: escape control characters in text from outside, so that the terminal does not execute them."""


def printable(raw: bytes | str, limit: int) -> str:
    """Return the first `limit` characters, with unprintable ones escaped, and `…` if the text is longer."""
    text = raw[: 4 * limit].decode("utf-8", errors="backslashreplace") if isinstance(raw, bytes) else raw
    shown = "".join(_visible(character) for character in text[:limit])
    more = len(text) > limit or (isinstance(raw, bytes) and len(raw) > 4 * limit)
    return f"{shown}…" if more else shown


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
