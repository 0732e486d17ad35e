from django.test import Client


def test_answers_are_counted_by_route_and_status(web: Client) -> None:
    web.get("/recommendations/ann/")
    web.get("/recommendations/ann/?k=0")
    web.get("/nowhere/")
    text = web.get("/metrics").content.decode()
    for labels in (
        'route="recommendations",status="200"',
        'route="recommendations",status="400"',
        'route="unmatched",status="404"',
    ):
        assert f"sagestream_http_seconds_count{{{labels}}}" in text
    assert "ann" not in text
