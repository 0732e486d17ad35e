"""Readers: robots that say so, programs without the key, and addresses that nobody can read back."""

import pytest

from serving.web.readers import Reader, client_of, is_robot, reader_of

KEY = b"k" * 32

BROWSERS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 8.1; CUBOT) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36 [FBAN/EMA;FBAV/415.0.0.0]",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/124.0 YaBrowser/24.4.0 Safari/537.36",
    "okhttp/4.12.0",
    "Shop/3.1 CFNetwork/1496.0.7 Darwin/23.5.0",
]
CRAWLERS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 6.0.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36 "
    "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
]
PROGRAMS = ["python-requests/2.32.3", "curl/8.5.0", "Go-http-client/2.0", "node-fetch", "axios/1.7.2", "", "  "]


@pytest.mark.parametrize("agent", BROWSERS)
def test_a_browser_is_no_robot(agent: str) -> None:
    assert not is_robot(agent, known=False)
    assert not is_robot(agent, known=True)


@pytest.mark.parametrize("agent", CRAWLERS)
def test_a_crawler_is_one_also_when_the_shop_asks_for_it(agent: str) -> None:
    assert is_robot(agent, known=False)
    assert is_robot(agent, known=True)


@pytest.mark.parametrize("agent", PROGRAMS)
def test_a_program_is_one_unless_it_shows_the_key(agent: str) -> None:
    assert is_robot(agent, known=False)
    assert not is_robot(agent, known=True)


def test_a_client_has_one_name_that_tells_no_address() -> None:
    name = client_of("203.0.113.7", key=KEY)
    assert (len(name), name) == (32, client_of("::ffff:203.0.113.7", key=KEY))
    assert name != client_of("203.0.113.8", key=KEY)
    assert name != client_of("203.0.113.7", key=b"another key")
    network, same, other = (client_of(address, key=KEY) for address in ("2001:db8::1", "2001:db8::f", "2001:db9::1"))
    assert network == same != other
    assert client_of("127.0.0.1", key=KEY) == client_of("::1", key=KEY) == ""


def test_the_shops_server_is_no_client() -> None:
    environ = {"REMOTE_ADDR": "203.0.113.7", "HTTP_USER_AGENT": BROWSERS[0]}
    assert reader_of(environ, known=True, confirmed=True, key=KEY) == Reader()
    stranger = Reader(confirmed=False, robot=False, client=client_of("203.0.113.7", key=KEY))
    assert reader_of(environ, known=False, confirmed=False, key=KEY) == stranger
    assert reader_of({"REMOTE_ADDR": "203.0.113.7"}, known=False, confirmed=False, key=KEY).robot
