from serving.client import landed
from serving.links import Landing, linker
from stream.events import EventType

URL = linker("https://shop.example/p/{item_id}")(Landing("ann", "apple", "r.1", 3))


def test_an_opened_link_of_a_mail_is_a_click_on_its_list() -> None:
    click = landed(URL)
    assert click is not None
    assert (click.event_type, click.user_id, click.item_id) == (EventType.CLICK, "ann", "apple")
    assert (click.request_id, click.position) == ("r.1", 3)
    again = landed(URL)
    assert again is not None and again.event_id == click.event_id  # opened twice, it is one click
    assert landed("https://shop.example/p/apple") is None
