from pathlib import Path

import pytest

from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, Pin, RuleSet
from serving.slots.slot import Kind, Slot
from serving.slots.slots_file import MAX_BYTES, MAX_SLOTS, SlotsFileError, read_slots, unknown_names

PIN_X = "{item_id = 'x', position = 0}"


def written(directory: Path, text: str) -> Path:
    path = directory / "slots.toml"
    path.write_text(text)
    return path


def problems(directory: Path, text: str) -> list[str]:
    with pytest.raises(SlotsFileError) as caught:
        read_slots(written(directory, text))
    assert str(caught.value).count(str(directory / "slots.toml: ")) == len(caught.value.problems)
    return caught.value.problems


def test_a_file_with_rules_is_read(tmp_path: Path) -> None:
    text = """
        [basket]
        kind = "bought_together"
        length = 6
        fallback = ["similar"]
        [basket.rules]
        diversity = 0.5
        only.brands = ["Own", "Other"]
        pin = [{ item_id = "sku-1", position = 2 }]
        [[basket.rules.boost]]
        items = { categories = ["Dairy"] }
        factor = 2
    """
    rules = RuleSet(
        diversity=0.5,
        only=Criteria(brands=("Own", "Other")),
        pin=(Pin(item_id="sku-1", position=2),),
        boost=(Boost(items=Criteria(categories=("Dairy",)), factor=2.0),),
    )
    basket = Slot(kind=Kind.BOUGHT_TOGETHER, length=6, fallback=(Kind.SIMILAR,), rules=rules)
    found = read_slots(written(tmp_path, text))
    assert (found.slots, found.warnings) == ({"basket": basket}, [])


def test_an_empty_file_has_no_slots(tmp_path: Path) -> None:
    assert read_slots(written(tmp_path, "")).slots == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nlenght = 3", ["[a]", "'lenght'", "did you mean 'length'?", "kind, length, title"]),
        ("[a]\nkind = 'foryou'", ["[a] kind:", "'foryou'", "for_you, buy_again, discover"]),
        ("[a]\nfallback = ['most']", ["[a] fallback[0]:", "'most'", "for_you, buy_again"]),
        ("[a]\nlength = 0", ["[a] length:", ">= 1"]),
        ("[a]\nlength = 101", ["[a] length:", "<= 100"]),
        ("[a]\nlength = '3'", ["[a] length:", "expected int, got str"]),
        ("[a]\nwindow = '2h'", ["[a] window:", "1h|24h|7d"]),
        ("[a.rules]\nfatigue = 3", ["[a] rules:", "'fatigue'", "did you mean 'fatigue_after'?"]),
        ("[a.rules.only]\nbrand = ['x']", ["[a] rules.only:", "did you mean 'brands'?", "price_min"]),
        ("[[a.rules.boost]]\nfactor = 2", ["[a] rules.boost[0]:", "'items' is missing"]),
        ("[[a.rules.boost]]\nitems = {}\nfactor = 0", ["[a] rules.boost[0].factor:", "> 0"]),
        ("[[a.rules.quota]]\nat_least = 1\nitems.brnds = []", ["[a] rules.quota[0].items:", "did you mean 'brands'?"]),
        ("[a.rules.only.attributes]\ncolour = 'red'", ["[a] rules.only.attributes[...]", "array"]),
        ("[a.rules]\nrepurchase_days = {Dairy = -1}", ["[a] rules.repurchase_days[...]", ">= 0"]),
        ("[a.rules.only]\nprice_min = 3\nprice_max = 2", ["[a] rules.only:", "price_min 3 is above price_max 2"]),
        (f"[a.rules]\npin = [{PIN_X}, {{item_id = 'y', position = 0}}]", ["[a] rules: two pins", "position 0"]),
        (f"[a.rules]\npin = [{PIN_X}, {{item_id = 'x', position = 1}}]", ["[a] rules: two pins", "'x'"]),
        ("a = 3", ["[a]", "no table"]),
        ("['a b']", ["[a b]", "no name"]),
        ("[a", ["no TOML", "end of document"]),
    ],
)  # fmt: skip
def test_an_error_names_the_slot_the_key_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert all(part in found[0] for part in said), found[0]


def test_all_slots_with_problems_are_named_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "[a]\nlength = 0\n[b]\n[c]\nkind = 'x'")) == 2


def test_what_no_slots_file_can_be_is_refused(tmp_path: Path) -> None:
    assert "No such file" in problems_of_path(tmp_path / "slots.toml")
    (tmp_path / "slots.toml").write_bytes(b"# \xff")
    assert "UTF-8" in problems_of_path(tmp_path / "slots.toml")
    assert "larger" in problems(tmp_path, "#" * (MAX_BYTES + 1))[0]
    assert "at most" in problems(tmp_path, "".join(f"[s{number}]\n" for number in range(MAX_SLOTS + 1)))[0]
    assert "TOML" in problems(tmp_path, "a = " + "[" * 5000)[0]


def problems_of_path(path: Path) -> str:
    with pytest.raises(SlotsFileError) as caught:
        read_slots(path)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\ncategory = 'Dairy'\nfallback = []", "[a] category: only category, trending, best_sellers use it"),
        ("[a]\nlength = 3\nrules.pin = [{item_id = 'x', position = 3}]", "position 3 is beyond the length 3"),
        ("[a]\nlength = 3\nrules.quota = [{items = {}, at_least = 4}]", "at least 4 items, the length is 3"),
        ("[a]\nfallback = ['for_you']", "for_you is the kind of the slot itself"),
    ],
)
def test_what_does_nothing_is_a_warning(tmp_path: Path, text: str, said: str) -> None:
    found = read_slots(written(tmp_path, text))
    assert "a" in found.slots
    assert len(found.warnings) == 1
    assert said in found.warnings[0]


def test_names_that_the_catalogue_does_not_have_are_found(tmp_path: Path) -> None:
    text = """
        [a]
        kind = "category"
        category = "Diary"
        rules.only = {brands = ["Own", "Onw"], without_categories = ["Bread"]}
        rules.repurchase_days = {Milk = 3}
    """
    found = unknown_names(read_slots(written(tmp_path, text)).slots, frozenset({"Dairy", "Bread"}), frozenset({"Own"}))
    assert found == [
        "[a] category: no item has the category 'Diary', did you mean 'Dairy'?",
        "[a] rules.only.brands: no item has the brand 'Onw', did you mean 'Own'?",
        "[a] rules.repurchase_days: no item has the category 'Milk'",
    ]
