"""Text: what is kept of it, and texts of one kind lie together."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.features.tfidf import TfidfEncoder, clean

KITCHEN = ["red pasta sauce", "green pasta sauce", "fresh pasta", "sauce for pasta, red"]
GARDEN = ["garden hose", "garden rake", "green garden hose", "rake and hose"]


@pytest.mark.parametrize("lemmas", [True, False])
def test_clean_keeps_lower_case_words_without_stop_words_and_single_characters(lemmas):
    assert clean("The RED Pasta-Sauce, 500g & a Ü", lemmas=lemmas) == ["red", "pasta", "sauce", "500g"]
    assert clean("", lemmas=lemmas) == []


def test_a_lemma_stands_for_all_forms_of_a_word():
    assert clean("Boxes of mice running", lemmas=True) == ["box", "mouse", "run"]
    assert clean("Boxes of mice running", lemmas=False) == ["boxes", "mice", "running"]
    assert clean("zealand", lemmas=True) == ["zealand"]  # its lemma is written with a capital
    assert clean("ss screws", lemmas=True) == ["ss", "screw"]  # "s" would be no word
    assert clean("having", lemmas=True) == []  # "have" is a stop word, "having" is none


@given(st.text(max_size=200))
def test_cleaning_what_is_clean_changes_nothing_but_forms(text):
    words = clean(text, lemmas=False)
    assert clean(" ".join(words), lemmas=False) == words
    assert all(len(word) > 1 for word in clean(text, lemmas=True))
    assert len(clean(text, lemmas=True)) <= len(words)


def test_forms_of_a_word_are_one_column():
    texts = ["red box", "red boxes", "blue box", "blue boxes"]
    encoder = TfidfEncoder.fit(texts, dim=2, seed=0)
    assert encoder.words == ["blue", "box", "red"]
    rows = encoder.transform(texts)
    assert torch.equal(rows[0], rows[1])
    apart = TfidfEncoder.fit(texts, dim=2, seed=0, lemmas=False)
    assert apart.words == ["blue", "box", "boxes", "red"]


def test_clean_cuts_long_texts():
    assert len(clean("word " * 10_000, lemmas=True)) == 400


def test_texts_of_one_kind_lie_together():
    rows = torch.nn.functional.normalize(TfidfEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0).transform(KITCHEN + GARDEN))
    cosines = rows @ rows.T
    assert cosines[:4, :4].min() > cosines[:4, 4:].max()


def test_the_order_of_the_texts_changes_no_word_and_no_weight():
    ours, theirs = (TfidfEncoder.fit(texts, dim=3, seed=0) for texts in (KITCHEN + GARDEN, GARDEN + KITCHEN))
    assert ours.words == theirs.words
    assert torch.equal(ours.idf, theirs.idf)


def test_an_equal_seed_gives_an_equal_encoder():
    ours, theirs = (TfidfEncoder.fit(KITCHEN + GARDEN, dim=3, seed=7).transform(KITCHEN) for _ in range(2))
    assert torch.equal(ours, theirs)


def test_unknown_words_are_zeros_and_known_ones_count():
    encoder = TfidfEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0)
    unknown, mixed, known = encoder.transform(["bicycle", "bicycle pasta", "pasta"])
    assert not unknown.any()
    assert torch.equal(mixed, known)


def test_few_words_make_few_columns_and_none_makes_none():
    assert TfidfEncoder.fit(["pasta", "pasta"], dim=16, seed=0).transform(["pasta"]).tolist() == [[1.0]]
    assert TfidfEncoder.fit(["", "once"], dim=16, seed=0).transform(["once", ""]).shape == (2, 0)
    assert TfidfEncoder.fit([], dim=16, seed=0).transform([]).shape == (0, 0)


def test_the_state_comes_back_without_pickle():
    encoder = TfidfEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0)
    file = io.BytesIO()
    torch.save(encoder.state(), file)
    file.seek(0)
    again = TfidfEncoder.from_state(torch.load(file, weights_only=True))
    assert torch.equal(again.transform(KITCHEN), encoder.transform(KITCHEN))


def test_a_state_of_the_time_before_lemmas_cleans_as_it_was_fitted():
    texts = ["red box", "red boxes", "blue box", "blue boxes"]
    encoder = TfidfEncoder.fit(texts, dim=2, seed=0, lemmas=False)
    older = {name: encoder.state()[name] for name in ("words", "idf", "components")}
    again = TfidfEncoder.from_state(older)
    assert torch.equal(again.transform(texts), encoder.transform(texts))
    assert not torch.equal(again.transform(["boxes"]), again.transform(["box"]))


def test_texts_that_are_all_equal_make_no_noise():
    assert torch.isfinite(TfidfEncoder.fit(["red box"] * 3, dim=1, seed=0).transform(["red box"])).all()
