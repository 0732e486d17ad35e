"""Sums over shoppers are those of counting by hand, for one variant of one model."""

from graphstore.identities import IdentityRow, ingest_identities
from graphstore.session import write
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.shopper_sums import CONVERSION, CTR, shopper_sums
from training.evaluation.sequential import ClusterSums


def test_the_sums_are_those_of_the_shoppers_of_one_variant_of_one_model(shop):
    """Ann saw five items, clicked two and bought one of them; Bob saw two and clicked none."""
    shop.serve("r1", ["apple", "bread", "cheese"], model="m2", variant="champion", user="ann")
    shop.serve("r2", ["apple", "dates"], model="m2", variant="champion", user="ann", time=shop.now + 5)
    shop.serve("r3", ["apple", "bread"], model="m2", variant="champion", user="bob")
    for request, model, variant in (("r4", "m1", "champion"), ("r5", "m2", "previous")):
        shop.serve(request, ["apple"], model=model, variant=variant, user="cyd")
        shop.act("click", "apple", request, user="cyd")
    shop.serve("r6", ["apple"], model="m2", variant="champion", user="cyd", time=shop.now + 6)
    shop.act("click", "bread", "r1", user="ann")
    shop.act("click", "bread", "r1", user="ann")
    shop.act("view", "cheese", "r1", user="ann")
    shop.act("purchase", "dates", "r2", user="ann", time=shop.now + 5)
    shop.attribute()
    with shop.engine.connect() as connection:
        sums = shopper_sums(connection, {"champion": "m2"}, start=shop.now, end=shop.now + 6)["champion"]
        nobody = shopper_sums(connection, {"champion": None}, start=shop.now, end=shop.now)["champion"]
        all_models = shopper_sums(connection, {"champion": None, "previous": None}, start=shop.now, end=shop.now + 6)
    assert sums[CTR] == ClusterSums.of([2, 0], [5, 2])
    assert sums[CONVERSION] == ClusterSums.of([1, 0], [5, 2])
    assert nobody[CTR] == nobody[CONVERSION] == ClusterSums()
    assert all_models["champion"][CTR] == ClusterSums.of([2, 0, 1], [5, 2, 1])
    assert all_models["previous"][CTR] == ClusterSums.of([1], [1])


def test_only_what_was_shown_to_people_counts_and_a_person_is_one_shopper(sqlite_shop):
    """The session of Ann logs in; a list is merely fetched; a robot clicks."""
    rows = [
        ImpressionRow("r1", 0, "session", "apple", "home", 1, "m1", "champion", 1.0, 1.0, "own"),
        ImpressionRow("r2", 0, "ann", "apple", "home", 2, "m1", "champion", 1.0, 1.0, "own"),
        ImpressionRow("r3", 0, "bob", "apple", "home", 3, "m1", "champion", 1.0, 1.0, "own", confirmed=False),
        ImpressionRow("r4", 0, "bot", "apple", "home", 4, "m1", "champion", 1.0, 1.0, "own", robot=True),
    ]
    with write(sqlite_shop.engine) as connection:
        insert_impressions(connection, rows)
        ingest_identities(connection, [IdentityRow("session", "ann", 1)])
    for user in ("session", "bot"):
        sqlite_shop.act("click", "apple", user=user, time=5)
    sqlite_shop.attribute()
    with sqlite_shop.engine.connect() as connection:
        sums = shopper_sums(connection, {"champion": None}, start=0, end=9)["champion"]
    assert sums[CTR] == ClusterSums.of([1], [2])
