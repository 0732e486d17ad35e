"""Text of strangers for a terminal: what shops and broken clients sent, with nothing in it that a terminal obeys."""


def printable(raw: bytes | str, limit: int) -> str:
    """The first `limit` characters, each that is not printable as its escape, `…` where more follows."""
    text = raw[: 4 * limit].decode("utf-8", errors="backslashreplace") if isinstance(raw, bytes) else raw
    shown = "".join(_visible(character) for character in text[:limit])
    more = len(text) > limit or (isinstance(raw, bytes) and len(raw) > 4 * limit)
    return f"{shown}…" if more else shown


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
