"""Tag: serves `/tag.js`, the one script that a shop puts into its pages.

Arrives: a request of any shop's page. Leaves: the parts in `static/tag/` as one script without comments and spaces, so
that it is small and its source can be read. Next: the script asks for lists and tells what is seen and done, see
docs/shop-page.md.

Rejected: a minifier that also shortens names. It would need a whole parser, in a build or as a dependency, for 2 kB.
"""

import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

PARTS = ("visitor", "events", "seen", "slots", "layers", "start")
"""In the order in which they run: `start` comes last."""

MAX_BYTES = 8_000
MAX_AGE_SECONDS = 3600
HEAD = "// serving/web/static/tag\n"

_TOKEN = re.compile(
    r"""(?P<kept>"[^"\n]*"|`[^`]*`|(?<=[(,=?:&|!])\ ?/(?![/*])(?:[^/\\\n]|\\.)+/)  # strings, regular expressions
    |(?P<space>\s+|//[^\n]*)
    |(?P<word>[\w$]+)
    |(?P<sign>.)""",
    re.VERBOSE,
)


@require_safe
def tag(request: HttpRequest) -> HttpResponse:
    """Return the script. Pages of every origin may load it; it holds no secret."""
    body, etag = script()
    found = get_conditional_response(request, etag=etag, response=None)
    answer = found or HttpResponse(body, content_type="text/javascript; charset=utf-8")
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@lru_cache(maxsize=1)
def script() -> tuple[bytes, str]:
    """Return the script and its entity tag. Raises `ValueError` when a part was changed and it became too large."""
    room = files("serving.web").joinpath("static/tag")
    source = "\n".join(room.joinpath(f"{part}.js").read_text(encoding="utf-8") for part in PARTS)
    body = f'{HEAD}(()=>{{"use strict";{squeezed(source)}}})();\n'.encode()
    if len(body) > MAX_BYTES:
        raise ValueError(f"tag.js has {len(body)} bytes, over {MAX_BYTES}")
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def squeezed(source: str) -> str:
    """Return JavaScript without comments and needless spaces.

    It relies on the habits of our own source: each statement ends in a semicolon, strings have double quotes, comments
    begin with `//`, and no sign stands before or after itself (`a + +b`).
    """
    pieces: list[str] = []
    spaced = False
    for token in _TOKEN.finditer(source):
        text = token.group().lstrip(" ")
        if token.lastgroup == "space":
            spaced = True
            continue
        if spaced and token.lastgroup == "word" and pieces and re.match(r"[\w$]", pieces[-1][-1]):
            pieces.append(" ")
        if text in "}])" and pieces and pieces[-1] in (";," if text == "}" else ","):
            pieces.pop()  # what stands before a closing bracket needs no end
        pieces.append(text)
        spaced = False
    return "".join(pieces)
