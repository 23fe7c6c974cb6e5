import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from letta_kernel.memory import terms


def test_words_meet_in_their_stems_without_accents_case_or_stop_words():
    assert terms.terms("The DOGS were barking") == terms.terms("dog barks")
    assert terms.terms("Café Müller’s") == ["cafe", "muller"]
    assert terms.terms("what is it that you do?") == []


def test_scripts_without_spaces_are_cut_into_pairs():
    assert terms.terms("東京都に") == ["東京", "京都", "都に"]
    assert set(terms.terms("京都")) <= set(terms.terms("私は東京都にいます"))
    assert terms.terms("python入門") == ["python", "入門"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "😀😀",
        "'\"();--",
        "\ud800",
        "a" * 100_000,
        "%_\\*?^~:AND OR NOT",
        "\x00null\x00",
    ],
)
def test_any_text_can_be_taken_apart(text):
    assert all(isinstance(word, str) and word for word in terms.terms(text))


def test_who_speaks_is_the_name_before_the_colon():
    assert terms.speaker("Ada Lovelace: good morning") == "ada lovelace"
    assert terms.speaker("https://example.org is down") == ""
    assert terms.speaker("We meet at 10:30 tomorrow") == ""
    assert terms.speaker("What I learnt about the new plan for us: nothing") == ""


def test_a_line_asks_if_it_ends_in_a_question_mark():
    assert terms.asks("Is it you? ")
    assert terms.asks("元気ですか？")
    assert not terms.asks("Is it you? It is.")


def test_dates_have_the_words_people_use_for_them():
    words = terms.date_terms(datetime(2023, 5, 8, 12, tzinfo=UTC))
    assert set(terms.terms("on Monday, May 8, 2023")) <= set(words)


PARTS = """running Ran runs happily HAPPINESS hope hoping tie tying skies sky possible possibility Ada's l'amour
    don't Café CAFE\u0301 naïve ﬁnd Ｆｕｌｌ 2nd 2019 2019s 3.5 a_b x 京都 茶茶茶 東京都に python入門
    it's中 中it's 中'abc abc สวัสดี Straße ΟΔΟΣ \u0301 \U0001f600 "run%" run\\ nation_al
    relational being 的 Привет"""


def test_a_term_is_found_in_a_text_as_often_as_the_text_has_it():
    dice = random.Random(5)
    parts = PARTS.split()
    for _ in range(300):
        text = "".join(
            dice.choice(parts) + dice.choice(["", " ", " ", "'", "-", "\n"]) for _ in range(12)
        )
        there = Counter(terms.terms(text, singles=True))
        folded = terms.fold(text)
        for term in {*there, *terms.terms(dice.choice(parts), singles=True)}:
            assert len(terms.places(folded, term)) == there[term], (text, term)
