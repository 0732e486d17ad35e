"""Text: what is kept of it, and texts of one kind lie together."""

import io

import torch

from training.text import TextEncoder, clean

KITCHEN = ["red pasta sauce", "green pasta sauce", "fresh pasta", "sauce for pasta, red"]
GARDEN = ["garden hose", "garden rake", "green garden hose", "rake and hose"]


def test_clean_keeps_lower_case_words_without_stop_words_and_single_characters():
    assert clean("The RED Pasta-Sauce, 500g & a Ü") == ["red", "pasta", "sauce", "500g"]
    assert clean("") == []


def test_clean_cuts_long_texts():
    assert len(clean("word " * 10_000)) == 400


def test_texts_of_one_kind_lie_together():
    rows = torch.nn.functional.normalize(TextEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0).transform(KITCHEN + GARDEN))
    cosines = rows @ rows.T
    assert cosines[:4, :4].min() > cosines[:4, 4:].max()


def test_the_order_of_the_texts_changes_no_word_and_no_weight():
    ours, theirs = (TextEncoder.fit(texts, dim=3, seed=0) for texts in (KITCHEN + GARDEN, GARDEN + KITCHEN))
    assert ours.words == theirs.words
    assert torch.equal(ours.idf, theirs.idf)


def test_an_equal_seed_gives_an_equal_encoder():
    ours, theirs = (TextEncoder.fit(KITCHEN + GARDEN, dim=3, seed=7).transform(KITCHEN) for _ in range(2))
    assert torch.equal(ours, theirs)


def test_unknown_words_are_zeros_and_known_ones_count():
    encoder = TextEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0)
    unknown, mixed, known = encoder.transform(["bicycle", "bicycle pasta", "pasta"])
    assert not unknown.any()
    assert torch.equal(mixed, known)


def test_few_words_make_few_columns_and_none_makes_none():
    assert TextEncoder.fit(["pasta", "pasta"], dim=16, seed=0).transform(["pasta"]).tolist() == [[1.0]]
    assert TextEncoder.fit(["", "once"], dim=16, seed=0).transform(["once", ""]).shape == (2, 0)
    assert TextEncoder.fit([], dim=16, seed=0).transform([]).shape == (0, 0)


def test_the_state_comes_back_without_pickle():
    encoder = TextEncoder.fit(KITCHEN + GARDEN, dim=3, seed=0)
    file = io.BytesIO()
    torch.save(encoder.state(), file)
    file.seek(0)
    again = TextEncoder.from_state(torch.load(file, weights_only=True))
    assert torch.equal(again.transform(KITCHEN), encoder.transform(KITCHEN))
