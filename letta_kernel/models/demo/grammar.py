"""Turning sentences round: *I live in Ghent* becomes *The user lives in Ghent* or *you live in Ghent*."""

from __future__ import annotations

import re

from letta_kernel.models.demo.words import word_set

_THIRD = {
    "am": "is", "are": "is", "have": "has", "do": "does", "go": "goes", "were": "was", "don't": "doesn't",
    "haven't": "hasn't", "aren't": "isn't", "weren't": "wasn't",
}  # fmt: skip
_SECOND = {"is": "are", "has": "have", "does": "do", "goes": "go", "was": "were", "doesn't": "don't",
           "hasn't": "haven't", "isn't": "aren't", "wasn't": "weren't"}  # fmt: skip
_SAME = word_set(
    """can can't could couldn't will won't would wouldn't shall should must might may cannot was has is had did
    didn't got grew went came took made bought sold met knew saw ran wrote taught studied left lost won began
    became broke built caught chose drank drove ate fell felt found flew forgot gave held kept led lived moved
    paid put read rode said sent set slept spent spoke stood swam thought told wore hurt quit cut used"""
)
_ADVERBS = word_set(
    """always never often usually mostly mainly really also only just still currently now already generally
    sometimes rarely seldom hardly almost absolutely especially originally actually recently once strongly
    both normally typically"""
)
_OTHERS = {
    "me": ("them", "you"), "mine": ("theirs", "yours"), "myself": ("themselves", "yourself"),
    "us": ("them", "you"), "ours": ("theirs", "yours"), "ourselves": ("themselves", "yourselves"),
}  # fmt: skip
_CONTRACTED = {"i'm": "am", "i've": "have", "i'll": "will", "i'd": "would", "we're": "are", "we've": "have",
               "we'll": "will", "we'd": "would"}  # fmt: skip
_TOKEN = re.compile(r"[\w'’-]+|[^\w\s]+|\s+")


def third_person_verb(verb: str) -> str:
    """Return the form of *verb* after *the user* (``like`` to ``likes``); past forms stay."""
    low = verb.casefold()
    if low in _THIRD:
        return _THIRD[low]
    if low in _SAME or (
        low.endswith("ed") and len(low) > 4 and low not in ("need", "feed", "breed", "speed")
    ):
        return verb
    if re.search(r"[^aeiou]y$", low):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:s|x|z|ch|sh|o)$", low) else "s")


def second_person_verb(verb: str) -> str:
    """Return the form of *verb* after *you* (``likes`` to ``like``)."""
    low = verb.casefold()
    if low in _SECOND:
        return _SECOND[low]
    if low in _SAME or not low.endswith("s") or low.endswith("ss"):
        return verb
    if low.endswith("ies") and len(low) > 4:
        return verb[:-3] + "y"
    return verb[:-2] if re.search(r"(?:ch|sh|ss|x|zz|o)es$", low) else verb[:-1]


def about_user(sentence: str) -> str:
    """Return a first-person *sentence* in the third person: ``My cat is ill`` to ``The user's cat is ill``."""
    return _retell(sentence, user=True)


def to_user(sentence: str) -> str:
    """Return a first-person *sentence* as said back to the user: ``My cat is ill`` to ``your cat is ill``."""
    return _retell(sentence, user=False)


def _retell(sentence: str, *, user: bool) -> str:
    tokens = _TOKEN.findall(sentence.replace("’", "'"))
    out: list[str] = []
    named = False  # "the user" has been said; from then on "they"
    verb_form: str | None = None  # what the next verb must agree with
    for token in tokens:
        low = token.casefold()
        if token.isspace() or not re.match(r"\w", token):
            if token.strip():
                verb_form = None
            out.append(token)
        elif low in ("i", "we") or low in _CONTRACTED:
            subject, third = (
                ("the user", True) if user and not named else ("they" if user else "you", False)
            )
            named = True
            verb_form = "third" if third else "second"
            out.append(subject)
            if low in _CONTRACTED:
                out.append(" " + _agree(_CONTRACTED[low], verb_form))
                verb_form = None
        elif low in ("my", "our"):
            out.append("your" if not user else "their" if named else "the user's")
            named, verb_form = True, None
        elif low in _OTHERS:
            out.append(_OTHERS[low][0 if user else 1])
            verb_form = None
        elif verb_form is not None and low not in _ADVERBS:
            out.append(_agree(token, verb_form))
            verb_form = None
        else:
            out.append(token)
    return "".join(out)


def _agree(verb: str, form: str) -> str:
    if form == "third":
        return third_person_verb(verb)
    return {"am": "are", "was": "were"}.get(verb.casefold(), verb)


def read_back(note: str) -> str:
    """Return a note about *the user* as a sentence to the user; any other note as it is, in quotes."""
    note = note.strip()
    bare = note.rstrip(".")
    if match := re.match(r"the user's\s+", bare, re.IGNORECASE):
        return f"your {_pronouns(bare[match.end() :])}"
    if match := re.match(
        r"(?:the user|user)\s+((?:\w+ly |(?:also|only|always|never|often) )?)([\w']+)", bare, re.I
    ):
        rest = _pronouns(bare[match.end() :])
        return f"you {match[1]}{second_person_verb(match[2])}{rest}"
    if re.match(r"(?:i|i'm|i've|my)\b", bare, re.IGNORECASE):
        return to_user(bare)
    return f"“{note}”"


def _pronouns(text: str) -> str:
    for theirs, yours in (("their", "your"), ("theirs", "yours"), ("themselves", "yourself"), ("they", "you"),
                          ("them", "you")):  # fmt: skip
        text = re.sub(rf"\b{theirs}\b", yours, text, flags=re.IGNORECASE)
    return text


def sentence(text: str) -> str:
    """Return *text* with a capital letter and a full stop."""
    text = text.strip().rstrip(",;: ")
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in '.!?…”"' else text + "."
