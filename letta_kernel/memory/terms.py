"""Text as search sees it: word stems, and what kind of utterance a text is."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache

import snowballstemmer

MOST_CHARACTERS = 50_000  # of one text; passages are far shorter, a pasted log may not be
_LONGEST_WORD = 64  # longer ones are base64 or URLs, which nobody searches for

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# Scripts written without spaces: every two neighbouring characters count as a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f]+"
)
# Those of them that are alphabets: a pair of letters is no word there, as one of characters often is.
_LETTERS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_PARTICLES = frozenset(
    "的了是在我你您他她它们这那什么吗呢吧啊哦哎哪谁怎多少几有个和也就都很还要会能到说样为与及或被把给让从对儿里上下来去得着"
    "过呀嘛请问不没人大家真想今天最近另外這麼嗎誰幾個還會說樣為與給讓從對裡來過請問沒"
) | frozenset(map(chr, range(0x3040, 0x30A0)))
"""Characters that say nothing about what a text is about: Chinese function words, hiragana."""
_SHORT = 8  # characters of a piece of a query whose single characters between particles count
_SPEAKER = re.compile(r"\s*([^\W\d_][^\n:?!.]{0,40}?)\s*:\s")

_STOP = """a about also am an and are aren as at be been being but by can could couldn d did didn do does
    doesn don for from had hadn has hasn have haven he her him his how i if in into is isn it its just
    ll m me might my no not of on or our re really s she should shouldn so such t than that the their
    them then there these they this to too us ve very was wasn we were weren what when where which who
    whom why will with won would wouldn you your"""
STOP_WORDS = frozenset(_STOP.split())
"""English words that say nothing about what a text is about."""

_EVERYDAY = """actually ago agree again already always amazing another anything ask away awesome bad
    bit call came care case change come continue cool course day different easy else end enough even
    ever every everything feel few file find fine first fix forget found fun general give glad go going
    gone gonna good got great guess guy happen happy hard help hello here hey hi hope idea important
    keep kind know last later learn least less let life like little ll long look lot love made make
    many maybe mean mention mind moment more morning most much must need never new next nice night now
    ok okay old one only other part people please plan point possible pretty problem put question
    quick ready remember right run said same say see seem send set show simple small so some someone
    something soon sorry sort sound start still stop stuff sure take talk tell thank thanks thing
    think though thought time today together told tomorrow tonight too try turn two understand use
    usually ve wait want way week well while wish word work world wow write wrong yeah year yes
    yesterday yet"""

_stemmer = _stemmer = snowballstemmer.stemmer("english")
_stemming = threading.Lock()  # the stemmer keeps its word in itself


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return the stem of a lower-case English word; other languages' words mostly stay as they are."""
    with _stemming:
        return str(_stemmer.stemWord(word))


COMMON = frozenset(stem(word) for word in _EVERYDAY.split())
"""Stems of words people use whatever they talk about: they order lines, but make none relevant."""

_MONTHS = "january february march april may june july august september october november december"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_MONTH_STEMS = [stem(name) for name in _MONTHS.split()]
_DAY_STEMS = [stem(name) for name in _DAYS.split()]
DATE_STEMS = frozenset(
    _MONTH_STEMS + _DAY_STEMS + [str(n) for n in [*range(1, 32), *range(1900, 2101)]]
)
"""Stems that `date_terms` may return (for the years anybody is likely to have a memory of)."""
DATE_LENGTH = 4
"""How many words a date has."""


_ATTACHED = re.compile(
    "[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af\uff66-\uff9f]"
)  # particles follow a word


def stand_in(words: str, text: str) -> bool:
    """Whether *words* stand in *text* just so, in any case, and as whole words where a script has spaces."""
    words, text = words.lower(), text.lower()
    at = text.find(words)
    while at >= 0:
        end = at + len(words)
        if not any(0 < edge < len(text) and _inside_word(text, edge) for edge in (at, end)):
            return True
        at = text.find(words, at + 1)
    return False


def _inside_word(text: str, at: int) -> bool:
    return all(
        unicodedata.category(one)[0] in "LMN"
        and not _UNSPACED.match(one)
        and not _ATTACHED.match(one)
        for one in text[at - 1 : at + 1]
    )


def terms(text: str, *, singles: bool = False) -> list[str]:
    """Return the stems of the words of *text* in order, without stop words.

    Any text will do: accents are folded, scripts without spaces are cut into pairs of characters,
    punctuation and symbols only separate.

    Parameters
    ----------
    singles
        Whether each character of a script without spaces is a word too, as lines need it to be found by
        one. In queries too many lines have them (MemDaily: 65 instead of 84 % any@10): there a character
        counts that is alone, or alone between particles in a short piece.
    """
    found = []
    for word in _WORD.findall(fold(text[:MOST_CHARACTERS])):
        if not word.isascii() and _UNSPACED.search(word):
            found += _pieces(word, singles)
            continue
        if (one := _stem_of(word)) is not None:
            found.append(one)
    return found


def fold(text: str) -> str:
    """Return *text* in lower case, without accents."""
    text = text.replace("\u2019", "'").lower()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text)
    for mark in filter(unicodedata.combining, set(text)):
        text = text.replace(mark, "")
    return unicodedata.normalize("NFC", text)


def _stem_of(word: str) -> str | None:
    word = word.split("'", 1)[0]  # Ada's, don't, we'll
    if word in STOP_WORDS or len(word) > _LONGEST_WORD:
        return None
    return word if word.isdigit() else stem(word)


def places(text: str, wanted: str) -> list[int]:
    """Return where in a folded text one of its terms, single characters among them, is *wanted*.

    As `terms` finds them, without looking at any other word.
    """
    if unspaced(wanted):
        return list(_occurrences(text, wanted))
    found = set()
    known: dict[str, bool] = {}  # of whole words
    for beginning in _beginnings(wanted):
        for at in _occurrences(text, beginning):
            before = text[at - 1] if at else " "
            within = before.isalnum()
            if within and not _UNSPACED.match(before):
                continue
            if before == "'" and at > 1 and text[at - 2].isalnum():
                continue
            word = _WORD.match(text, at + wanted.startswith("'"))  # so may only a piece begin
            if word is None:
                continue
            piece = text[at : word.end()]
            other = None if piece.isascii() else _UNSPACED.search(piece)
            if other is not None:
                same = piece[: other.start()] == wanted
            elif within:
                same = piece == wanted
            elif piece in known:
                same = known[piece]
            else:
                same = known[piece] = _stem_of(piece) == wanted
            if same:
                found.add(at)
    return sorted(found)


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _beginnings(stem: str) -> list[str]:
    """Return beginnings of words; every word of this stem has one of them."""
    if len(stem) < 3 or stem[-1] not in "eily":
        return [stem]
    # hope, hoping; happi, happy; possibl, possibility; sky, skies; tie, tying
    return [stem[:-1], *([stem[:-2] + "ying"] if stem.endswith("ie") else [])]


def telling(word: str, rarity: float) -> float:
    """Return from 0 to 1 how much a line that has *word* is about what a query with it is about.

    Parameters
    ----------
    rarity
        Of the word among the lines, 1 for one that none has.
    """
    if _LETTERS.match(word):
        return 0.58 * rarity * rarity  # chosen on 6 lines and 17 queries in Thai
    particles = sum(one in _PARTICLES for one in word) if unspaced(word) else 0
    if particles:
        return 0.25 * rarity if particles < len(word) else 0.0
    # Where all lines speak of one thing its name tells none from another, yet they are relevant.
    return max(rarity, 0.0 if word in COMMON else 0.5)


def unspaced(text: str) -> bool:
    """Return whether *text* has words of a script without spaces between them."""
    return _UNSPACED.search(text) is not None


def _pieces(word: str, singles: bool) -> list[str]:
    found = []
    at = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > at:
            found.append(word[at : run.start()])
        piece = run.group()
        found.extend(piece[i : i + 2] for i in range(len(piece) - 1))
        if singles or len(piece) == 1:
            found.extend(piece)
        elif 2 < len(piece) <= _SHORT:
            edged = f"的{piece}的"
            found += [
                one
                for before, one, after in zip(edged[:-2], piece, edged[2:], strict=True)
                if one not in _PARTICLES and {before, after} <= _PARTICLES
            ]
        at = run.end()
    if at < len(word):
        found.append(word[at:])
    return found


def date_terms(moment: datetime) -> list[str]:
    """Return the words by which people name a day: ``8 may 2023 monday``, as stems."""
    return _date_terms(moment.date())


@lru_cache(maxsize=4096)
def _date_terms(day: date) -> list[str]:
    # Not by strftime: its names are in the language of the machine.
    return [str(day.day), _MONTH_STEMS[day.month - 1], str(day.year), _DAY_STEMS[day.weekday()]]


def speaker(text: str) -> str:
    """Return who says *text* if it begins like a line of a dialogue (``Ada: …``), else nothing.

    The name is in lower case.
    """
    found = _SPEAKER.match(text)
    if not found:
        return ""
    name = found.group(1).lower()
    return name if len(name.split()) <= 3 else ""


def asks(text: str) -> bool:
    """Return whether *text* ends in a question: such a line seldom holds what was learnt."""
    return text.rstrip().endswith(("?", "\uff1f"))


def names(text: str) -> list[str]:
    """Return the words of *text* as names are compared: lower case, not stemmed, without 's."""
    return [word.split("'", 1)[0] for word in _WORD.findall(text.replace("\u2019", "'").lower())]
