"""Words as the demo model knows them: stems, stop words, numbers, nearness by static vectors."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import snowballstemmer

from letta_kernel.models.embedding import OFFLINE, embedder

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def word_set(text: str) -> frozenset[str]:
    """Return the words of a blank-separated list."""
    return frozenset(text.split())


STOP = word_set(
    """a an the this that these those i me my mine you your yours he him his she her it its we us our
    they them their and or but nor so if then than as of in on at to from by for with without about
    into onto over under up down off out between below above is am are was were be been being do does
    did done have has had having can could shall should will would may might must not no yes please
    just only also too very really there here what which who whom whose where when why how i'm you're
    it's that's what's who's where's i've we've i'll don't doesn't didn't isn't aren't wasn't can't
    let let's some any all each every both other such own same more most much many few ok okay hey hi
    hello thanks thank get got give tell show want need like know again maybe still already get ever
    never per today currently right great mind now i'd near via called named titled saying bei nach
    der die das den dem des ein eine einen einem ist sind war und oder ich du er sie wir mein meine
    dein deine mir mich dir dich im am zu zum zur von vom mit auf für bitte wie was wer wo wann warum
    le la les l un une des du de et ou je tu il elle nous vous mon ma mes ton ta est sont que qui quoi
    quel quelle où quand pourquoi comment à au aux en dans pour avec sur"""
)
"""Words that say nothing about what a message is about."""

_SPOKEN = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
NUMBER_WORDS = "|".join(sorted(_SPOKEN, key=len, reverse=True))


_STEMMER = snowballstemmer.stemmer("english")


def tidy(text: str) -> str:
    """Return *text* with straight quotes and single blanks (line breaks kept)."""
    straight = text.translate(str.maketrans("“”„‘’\xa0", '"""\'\' '))
    return re.sub(r"[ \t]+", " ", straight).strip()


def words(text: str) -> list[str]:
    """Return the words of *text* in lower case."""
    return [match.group().casefold() for match in WORD.finditer(text)]


def content_words(text: str) -> list[str]:
    """Return the words of *text* that say what it is about, without ``'s``."""
    found = (word.removesuffix("'s") for word in words(text))
    return [word for word in found if word not in STOP and not word.isdigit()]


def name_parts(name: str) -> list[str]:
    """Return the words of an identifier (``from_currency``, ``maxCount``)."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [part.casefold() for part in re.findall(r"[^\W_]+", spaced.replace("_", " "))]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return the stem of an English word: ``measured``, ``measuring`` and ``measure`` are alike."""
    found: str = _STEMMER.stemWord(word.casefold().removesuffix("'s"))
    return found


@lru_cache(maxsize=50_000)
def same_word(one: str, other: str) -> bool:
    """Tell whether two words are forms of one."""
    short, long = sorted((stem(one), stem(other)), key=len)
    pairs = enumerate(zip(short, long, strict=False))
    common = next((i for i, (x, y) in pairs if x != y), len(short))
    return short == long or (common >= 5 and common >= 0.7 * len(long))


@lru_cache(maxsize=50_000)
def nearness(one: str, other: str) -> float:
    """Return how near two words are in meaning, 0 to 1."""
    near = 1.0 if same_word(one, other) else float(vector(one) @ vector(other))
    return near if near > 0.4 else 0.0


@lru_cache(maxsize=5_000)
def vector(text: str) -> np.ndarray:
    """Return the unit vector of a word or sentence."""
    return embedder(OFFLINE).embed([text])[0]


def parse_number(text: str) -> int | float | None:
    """Return the number *text* is: ``1,250.5``, ``12th``, ``seven``; integers keep every digit."""
    form = r"([+-]?(?:\d{1,3}(?:,\d{3}){1,60}|\d{1,200})(?:\.\d{1,200})?)(?:st|nd|rd|th|%)?"
    match = re.fullmatch(form, text.strip(), re.IGNORECASE)
    if match is None:
        spoken = text.strip().casefold()
        return _SPOKEN.index(spoken) if spoken in _SPOKEN else None
    digits = match[1].replace(",", "")
    return float(digits) if "." in digits else int(digits)


def note_of(said: str) -> str:
    """Return what a person says of themselves as a note: ``I like figs`` is ``The user likes figs.``."""
    text = re.sub(r"(?i)^(?:you (?:can|may) )?call me ", "my name is ", said.strip())
    for first, third in (
        ("I'm", "I am"),
        ("I've", "I have"),
        ("my", "the user's"),
        ("me", "the user"),
    ):
        text = re.sub(rf"(?i)\b{first}\b", third, text)
    again = r"\bI ((?:also|only|just|now|always|never|often|really|still|no longer) )?([\w']+)"
    return sentence(re.sub(again, lambda m: f"the user {m[1] or ''}{_third(m[2])}", text))


def _third(verb: str) -> str:
    known = {"am": "is", "have": "has", "don't": "doesn't", "haven't": "hasn't"}
    if re.fullmatch(
        r"can|can't|could|will|won't|would|should|must|was|had|did|got|went|\w+ed", verb
    ):
        return verb
    regular = re.sub(r"(?<=[^aeiou])y$", "ie", verb) + "s"
    return known.get(verb) or re.sub(r"(?<=ss|ch|sh)s$|(?<=[xzo])s$", "es", regular)


def sentence(text: str) -> str:
    """Return *text* with a capital letter and a full stop."""
    text = text.strip().rstrip(",;: ")
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in '.!?…”"' else ".")
