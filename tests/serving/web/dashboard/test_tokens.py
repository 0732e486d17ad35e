"""Tokens: only who has the key makes one, for one purpose and one time."""

from serving.web.dashboard.tokens import link, new_token, nonce_of, signing_key

KEY = signing_key("operator", "django")
NOW = 1_700_000_000_000


def test_a_token_is_valid_until_its_end() -> None:
    token = new_token(KEY, "session", now=NOW, seconds=60)
    nonce = nonce_of(KEY, "session", token, now=NOW)
    assert nonce and nonce in token
    assert nonce_of(KEY, "session", token, now=NOW + 59_999) == nonce
    assert nonce_of(KEY, "session", token, now=NOW + 60_000) is None
    assert new_token(KEY, "session", now=NOW, seconds=60) != token


def test_every_other_text_is_refused() -> None:
    token = new_token(KEY, "session", now=NOW, seconds=60)
    expires, nonce, signature = token.split(".")
    assert nonce_of(KEY, "link", token, now=NOW) is None
    for other in (signing_key("operator"), signing_key("Operator", "django"), signing_key("operator", "other")):
        assert nonce_of(other, "session", token, now=NOW) is None
    longer = f"{int(expires) + 1}.{nonce}.{signature}"
    for wrong in ("", "..", longer, token[:-1], token + "0", token.upper(), f"{token}\n", "9" * 10_000, f"\0{token}"):
        assert nonce_of(KEY, "session", wrong, now=NOW) is None, wrong


def test_a_link_keeps_its_token_behind_the_hash() -> None:
    path, _, token = link(KEY, now=NOW).partition("#")
    assert path == "/dashboard/enter/"
    assert nonce_of(KEY, "link", token, now=NOW + 1000)
