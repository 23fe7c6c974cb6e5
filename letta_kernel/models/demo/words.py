"""Words as the demo model knows them: stems, stop words, number words, kinship by meaning.

Everything here is plain English lore; what a user's own tools are about comes from the static vectors.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from letta_kernel.models.embedding import OFFLINE, embedder


def word_set(text: str) -> frozenset[str]:
    """Return the words of a blank-separated list."""
    return frozenset(text.split())


def _listed(text: str) -> list[str]:
    return text.split()


WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

STOP = word_set(
    """a an the this that these those i me my mine myself you your yours yourself he him his she her
    hers it its we us our ours they them their theirs and or but nor so if then than as of in on at to
    from by for with without about into onto over under up down off out through between against during
    before after above below is am are was were be been being do does did doing done have has had having
    can could shall should will would may might must not no yes please just only also too very really
    there here now what which who whom whose where when why how i'm you're it's that's what's who's
    where's i've we've they've i'll you'll i'd don't doesn't didn't isn't aren't wasn't can't won't let
    let's me some any all each every both either neither other another such own same more most much many
    few less least ok okay hey hi hello thanks thank get got give tell show want need like know again
    maybe perhaps still already yet ever never once upon via per right"""
)
"""Words that say nothing about what a message is about."""

PREPOSITIONS = word_set(
    """in on at to from by for with without about into onto over under of through between until till
    against towards near per via as than up down off out called named titled saying says"""
)

GENERIC = word_set(
    """get set make do compute calculate return run find give show tell return returns returned use using
    used new current whole value values one two first second third which whether something thing things
    say says what how many much named name called work works e.g"""
)
"""Words of tool names and descriptions that many tools share."""

_FAMILIES = """
weather forecast rain rainy raining snow snowing sunny sunshine cloudy warm cold hot windy storm
weather humid rain outside outdoors umbrella
temperature heating heat thermostat degrees celsius warm radiator
add sum plus total together addition
subtract minus less difference take away
multiply times product multiplied factor
divide divided quotient ratio split
power raised exponent squared cubed
average mean
discount off pay sale reduction rebate percent
money currency dollar dollars euro euros pound pounds yen franc francs rupee rupees
money currency peso krona usd eur gbp jpy chf cents price exchange
convert exchange change turn
alarm wake clock ring
timer countdown stopwatch
calendar meeting appointment schedule event diary agenda
remind reminder remember
email mail e-mail message inbox
call phone ring dial
order purchase parcel delivery package shipment shipped
buy shopping groceries grocery list
stock inventory shelf warehouse available left remaining
music song songs play listen track album
film movie rate stars rating cinema
light lights lamp lamps switch
lock unlock locked unlocked secure
door gate garage
open create start new
close stop end halt shut emergency quit
send write mail forward
delete remove erase clear drop
show display list print view
plot draw chart graph histogram diagram
table reservation reserve book restaurant dinner
flight flights fly plane airline
hotel room accommodation
distance far kilometres km miles away
translate translation language
dice die roll throw toss
random pick choose
text word words sentence phrase letters string characters
count number many
reverse backwards back flip
biggest largest highest top best maximum most greatest
smallest lowest minimum worst least
statistics stats summary summarise summarize overview describe
sales revenue turnover sold
student pupil mark marks grade grades score scores
task todo job assignment chore
ticket issue bug problem
photo picture image
file files folder directory document
column columns field rows row data dataframe
train training fit learn model classifier
server service host
date day today
weight weigh kg kilograms heavy
height tall metres
priority urgent urgency important
share send give
"""

_FAMILY: dict[str, set[int]] = {}
for _number, _line in enumerate(filter(None, _FAMILIES.splitlines())):
    for _word in _line.split():
        _FAMILY.setdefault(_word, set()).add(_number)

_UNITS = {
    word: number
    for number, word in enumerate(
        _listed(
            """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
            fifteen sixteen seventeen eighteen nineteen"""
        )
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        _listed("twenty thirty forty fifty sixty seventy eighty ninety"), 2
    )
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_ORDINALS = {
    word: number
    for number, word in enumerate(
        _listed(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
        ),
        1,
    )
}
NUMBER_WORDS = frozenset({*_UNITS, *_TENS, *_SCALES, "dozen"})
DIGIT_WORDS = frozenset(NUMBER_WORDS - {"one", "hundred", "thousand", "million"})


def tidy(text: str) -> str:
    """Return *text* with straight quotes and single blanks (line breaks kept)."""
    for curly, straight in (
        ("“", '"'),
        ("”", '"'),
        ("„", '"'),
        ("‘", "'"),
        ("’", "'"),
        ("\xa0", " "),
    ):
        text = text.replace(curly, straight)
    return re.sub(r"[ \t]+", " ", text).strip()


def words(text: str) -> list[str]:
    """Return the words of *text* in lower case."""
    return [match.group().replace("’", "'").casefold() for match in WORD.finditer(text)]


def content_words(text: str) -> list[str]:
    """Return the words of *text* that say what it is about, in lower case, without ``'s``."""
    return [
        word.removesuffix("'s")
        for word in words(text)
        if word not in STOP and word.removesuffix("'s") not in STOP and not word.isdigit()
    ]


def name_parts(name: str) -> list[str]:
    """Return the words of an identifier (``from_currency``, ``maxCount``)."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [part.casefold() for part in re.findall(r"[^\W_]+", spaced.replace("_", " "))]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a rough stem: ``measurements``, ``measuring`` and ``measure`` give ``measur``."""
    word = word.casefold().removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 2 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


@lru_cache(maxsize=50_000)
def same_word(one: str, other: str) -> bool:
    """Tell whether two words are forms of one."""
    a, b = stem(one), stem(other)
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(short))
    return common >= 5 and common >= 0.7 * len(long)


@lru_cache(maxsize=50_000)
def kinship(one: str, other: str) -> float:
    """Return how near two words are in meaning, 0 to 1."""
    if same_word(one, other):
        return 1.0
    if _families(one) & _families(other):
        return 0.9
    near = float(vector(one) @ vector(other))
    return near if near > 0.4 else 0.0


@lru_cache(maxsize=20_000)
def _families(word: str) -> frozenset[int]:
    return frozenset(_FAMILY.get(word, set()) | _FAMILY.get(stem(word), set()))


@lru_cache(maxsize=5_000)
def vector(text: str) -> np.ndarray:
    """Return the unit vector of a word or sentence."""
    return embedder(OFFLINE).embed([text])[0]


def parse_number(text: str) -> int | float | None:
    """Return the number a phrase means: ``1,250.5``, ``twenty-five``, ``12th``, ``a dozen``."""
    text = text.casefold().strip()
    written = re.fullmatch(r"([+-]?\d[\d,]*(?:\.\d+)?|[+-]?\.\d+)(?:st|nd|rd|th|%)?", text)
    if written:
        digits = written[1]
        grouped = "," not in digits or re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", digits)
        if not grouped or len(digits) > _MOST_DIGITS:
            return None
        digits = digits.replace(",", "")
        return float(digits) if "." in digits else int(digits)  # ids keep every digit
    if text in _ORDINALS:
        return _ORDINALS[text]
    parts = re.split(r"[\s-]+", text)
    return _spoken(parts) if len(parts) <= _MOST_WORDS else None


_MOST_DIGITS = 200
_MOST_WORDS = 20


def _spoken(parts: list[str]) -> int | None:
    total, group, seen = 0, 0, False
    for part in parts:
        if part in ("and", "a", "an"):
            continue
        if part in _UNITS:
            group += _UNITS[part]
        elif part in _TENS:
            group += _TENS[part]
        elif part == "dozen":
            group = max(group, 1) * 12
        elif part == "hundred":
            group = max(group, 1) * 100
        elif part in _SCALES:
            total, group = total + max(group, 1) * _SCALES[part], 0
        else:
            return None
        seen = True
    return total + group if seen else None


def figure(value: int | float) -> int | float:
    """Return a whole number as int, any other as float."""
    return int(value) if value == int(value) else value
