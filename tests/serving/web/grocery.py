"""A grocery of 48 items in Redis, and an outbox behind which its lists follow at once, as near-line would have them."""

import time

import numpy as np
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from serving import cache
from serving.dashboard.catalogue import Entry, write_catalogue
from serving.shop_lists.lists import ALL, CATEGORIES, TOGETHER, ShopEntry, best_key, encode, rising_key, write_hash
from serving.web.outbox import Letter
from stream.events import Interaction
from tests.serving.web.test_views import Post

MODEL = "m7"
SHELVES = {
    "DAIRY": "WHOLE MILK|OAT MILK|BUTTER|GREEK YOGHURT|CHEDDAR|CREAM CHEESE|FREE RANGE EGGS|CREME FRAICHE",
    "BAKERY": "SOURDOUGH LOAF|RYE BREAD|BAGELS|CROISSANTS|PITA|CINNAMON ROLLS|BREADSTICKS|TORTILLAS",
    "FRUIT": "APPLES|BANANAS|BLUEBERRIES|LEMONS|PEARS|GRAPES|MANGO|CLEMENTINES",
    "PANTRY": "OLIVE OIL|SPAGHETTI|RICE|TOMATO SAUCE|LENTILS|PEANUT BUTTER|HONEY|FLOUR",
    "DRINKS": "ORANGE JUICE|COFFEE BEANS|GREEN TEA|SPARKLING WATER|GINGER ALE|COCOA|APPLE JUICE|TONIC",
    "HOUSEHOLD": "DISH SOAP|SPONGES|PAPER TOWELS|BIN BAGS|CANDLES|MATCHES|BAKING PAPER|FOIL",
}
ITEMS = [
    Item(
        100 + 8 * row + place,
        f"sku-{100 + 8 * row + place}",
        title=title,
        categories=[category],
        brand="Own" if place % 3 else "Hill Farm",
        price=round(0.79 + (row * 8 + place) * 0.37 % 9, 2),
        attributes={"organic": place % 2 == 0} if category == "FRUIT" else {},
        stock=place * 3 or None,
    )
    for row, (category, titles) in enumerate(SHELVES.items())
    for place, title in enumerate(titles.split("|"))
]
KEYS = np.array([item.item_key for item in ITEMS])
BY_ID = {item.item_id: item for item in ITEMS}


def fill_grocery(redis: Redis) -> None:
    """A published model, with a list of ann, and what the shop knows of its items."""
    scores = np.linspace(3, -3, len(KEYS))
    order = np.random.default_rng(5).permutation(KEYS)
    now = int(time.time() * 1000)
    lists = {
        cache.recs_key(MODEL, "ann"): cache.pack(order, scores, as_of=now - 60_000),
        cache.recs_key(MODEL, "ben"): cache.pack(order[::-1], scores, as_of=now - 60_000),
        cache.popular_key(MODEL): cache.pack(KEYS, scores, as_of=now - 60_000),
    }
    for place, item in enumerate(ITEMS):
        others = np.roll(KEYS, -place - 1)[:12]
        lists[cache.similar_key(MODEL, item.item_id)] = cache.pack(others, np.linspace(1, 0.2, 12), as_of=now)
    cache.write_lists(redis, lists)
    item_store.set_items(redis, ITEMS)
    redis.set(cache.CHAMPION, MODEL)

    def entries(keys: np.ndarray) -> bytes:
        return encode([ShopEntry(int(key), 3 - place / 10, 40 - place) for place, key in enumerate(keys)])

    of_category = {
        category: np.array([item.item_key for item in ITEMS if category in item.categories]) for category in SHELVES
    }
    by_field = {ALL: entries(KEYS[::3]), **{category: entries(keys) for category, keys in of_category.items()}}
    for window in ("1h", "24h", "7d"):
        write_hash(redis, best_key(window), by_field)
        write_hash(redis, rising_key(window), {**by_field, ALL: entries(KEYS[1::3])})
    write_hash(
        redis, TOGETHER, {item.item_id: entries(np.roll(KEYS, -place)[7:40:5]) for place, item in enumerate(ITEMS)}
    )
    redis.zadd(CATEGORIES, {category: len(keys) for category, keys in of_category.items()})
    found = [Entry(item.item_id, item.title, item.price, True) for item in ITEMS]
    write_catalogue(redis, found, total=len(found), now=now)


class NearLine(Post):
    """Writes a shopper's next list as soon as an event comes: what was touched and its category lead it."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self.redis = redis

    def deliver(self, letters: list[Letter], *, timeout_seconds: float) -> None:
        super().deliver(letters, timeout_seconds=timeout_seconds)
        for letter in letters:
            if isinstance(letter.event, Interaction):
                self._follow(letter.event)

    def _follow(self, event: Interaction) -> None:
        now = int(time.time() * 1000)
        hot.record(self.redis, [(event.user_id, event.item_id, now)], keep=20)
        wanted = BY_ID[event.item_id].categories
        order = sorted(ITEMS, key=lambda item: (item.item_id != event.item_id, item.categories != wanted))
        packed = cache.pack([item.item_key for item in order], np.linspace(3, -3, len(order)), as_of=now)
        cache.write_lists(self.redis, {cache.near_key(MODEL, event.user_id): packed})

    def events(self) -> list[Interaction]:
        """The interactions that came."""
        return [letter.event for letter in self.letters if isinstance(letter.event, Interaction)]
