"""Links: addresses of items that tell which list led to them, for mails and other places without a script.

Arrives: a template of the shop's addresses, a list. Leaves: a link for each item; and later, from the address that was
opened, the list that led there. Next: `sagestream.mailing` writes the links, `serving.client` makes a click of one.

The link names the shopper, since the signature of a `request_id` holds for one shopper alone, and a mail may be opened
where nobody is logged in. So give `sagestream` ids that say nothing outside the shop. Rejected: a redirect through our
own server, which would stand between the mail and the shop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

ITEM = "{item_id}"
"""Where the item's id stands in a template."""
USER, REQUEST, POSITION, ITEM_ID = "sage_user", "sage_request", "sage_position", "sage_item"


@dataclass(frozen=True)
class Landing:
    """Which item of which list an opened link belongs to."""

    user_id: str
    item_id: str
    request_id: str
    position: int


def template_problem(template: str) -> str | None:
    """Return why the text is no template of links; None when it is one."""
    try:
        parts = urlsplit(template.replace(ITEM, "x"))
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "it does not begin with https://"
    if template.count(ITEM) != 1 or ITEM in template.partition("?")[0].split("/")[2]:
        return f"it does not have {ITEM} once, behind the host"
    return None


def linker(template: str) -> Callable[[Landing], str]:
    """Return the function that makes links of this template. Raises `ValueError`."""
    problem = template_problem(template)
    if problem is not None:
        raise ValueError(f"{template!r} is no template of links: {problem}")
    address, mark, fragment = template.partition("#")
    joint = "&" if "?" in address else "?"

    def link(to: Landing) -> str:
        named = ((USER, to.user_id), (REQUEST, to.request_id), (POSITION, str(to.position)), (ITEM_ID, to.item_id))
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in named)
        return (address + joint + query + mark + fragment).replace(ITEM, quote(to.item_id, safe=""))

    return link


def landing(url: str) -> Landing | None:
    """Return which list led to this address, whole or its query alone; None when none of ours did.

    The values come from a browser: anybody can change them. The server's attribution believes a `request_id` only for
    the shopper and the items that it was made for.
    """
    address, mark, query = url.partition("#")[0].partition("?")
    named = dict(parse_qsl(query if mark else address))
    position = named.get(POSITION, "")
    if not (position.isascii() and position.isdigit() and len(position) <= 4):
        return None
    found = [named.get(name, "") for name in (USER, ITEM_ID, REQUEST)]
    return Landing(found[0], found[1], found[2], int(position)) if all(found) else None
