"""Facts in a message: what a person asks to be remembered, says of themselves, corrects or takes back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from letta_kernel.models.demo import patterns as say
from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.grammar import about_user, sentence, to_user

I = re.IGNORECASE  # noqa: E741


_CLOSING = 120
_UNFINISHED = re.compile(r"(?:n't|\b(?:not|never|to|i|you|we|can|could|will|would))\s*$", I)
"""What no statement ends with: the *remember that* after it is its own verb (``I don't remember that``)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something worth keeping: as the note to write, as said back to the user, and what it is about.

    ``slot`` is what a newer fact of the same kind replaces: ``name``, ``home``, ``job`` or the words of an
    attribute (``favourite editor``); None where facts only add up.
    """

    note: str
    said: str
    slot: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """How a sentence bears on memory: ``keep`` (asked to, or certain), ``ask`` first, or leave alone."""

    facts: tuple[Fact, ...]
    asked: bool = False  # the person asked for it to be remembered
    certain: bool = False
    archive: bool = False  # the person asked for the archive
    label: str | None = None  # the block that was named


def strip_openers(text: str) -> str:
    """Return *text* without greetings, interjections and politeness at its ends."""
    opened = say.OPENERS.sub("", text.strip())
    end = max(0, len(opened) - _CLOSING)  # a closing is short, and the pattern slow on a long text
    return (opened[:end] + say.CLOSERS.sub("", opened[end:])).strip()


def asked_to_keep(text: str) -> tuple[str, Statement] | None:
    """Return the strength (``strong``, ``weak``) and content of a request to remember, if it is one."""
    if re.match(r"(?:[\w,!]+ ){0,2}(?:can|could|would|will) you\b", text, I):
        # "could you remember that …?" is a request, "can you remember my name?" a question
        if not re.search(
            r"\bthat\b|:|\b(?:is|are|was|were|am|has|have|will|i'm|my \w+'s|i \w+)\b|\w's\b",
            text.split("you", 1)[1],
            I,
        ):
            return None
        text = text.rstrip("? ")
    bare = strip_openers(text)
    asked_after = say.ASKED_AFTER.search(text, max(0, len(text) - _CLOSING))
    block = say.IN_BLOCK.search(bare)
    label = block["quoted"] or block["label"] if block else None
    if block:
        bare = (bare[: block.start()] + bare[block.end() :]).strip()
    if match := say.ARCHIVE.match(bare):
        payload = " ".join(
            filter(None, [match.groupdict().get("before") or "", match["rest"] or ""])
        )
        if facts := _facts(_payload(payload), split=False):
            return "strong", Statement(facts, True, True, True, label)
    if (match := say.STRONG.match(bare)) and (facts := _facts(_payload(match["rest"]))):
        return "strong", Statement(facts, True, True, False, label)
    if (match := say.WEAK.match(bare)) and (facts := _facts(_payload(match["rest"]))):
        return "weak", Statement(facts, True, True, False, label)
    into_block = say.ADD.match(bare) if label else None
    if into_block and (facts := _facts(_payload(into_block["rest"]))):
        return "strong", Statement(facts, True, True, False, label)
    before = text[: asked_after.start()] if asked_after else ""
    if before and not _UNFINISHED.search(before) and (facts := _facts(before)):
        return "strong", Statement(facts, True, True)
    return None


def asks_to_keep_nothing(text: str) -> bool:
    """Tell whether *text* asks to keep something and does not say what (``remember this``)."""
    return bool(
        re.fullmatch(
            rf"{say.POLITE}(?:remember|note|save|keep|store|memori[sz]e|write)(?: down)?"
            r"(?: (?:this|that|it|something|the following))?(?: for me)?(?: down)?[\s.!:]*",
            strip_openers(text) or text,
            I,
        )
    )


def long_payload(text: str) -> str | None:
    """Return what a request to remember or archive a long text wants kept, unchanged."""
    head = re.match(r"[^\n:]{1,200}(?::|\n|\bthat\b)\s*", text)
    return text[head.end() :].strip() or None if head else None


def _payload(rest: str) -> str:
    return strip_openers(say.LEADING.sub("", rest.strip()).strip())


def volunteered(text: str) -> Statement | None:
    """Return what *text* says about the user unasked, and whether that is sure enough to keep."""
    bare = strip_openers(text)
    if not bare or bare.endswith("?"):
        return None
    bare = re.sub(r"\s*,\s*not [^,]+$", "", bare.rstrip(".! "))  # "I'm called Jon, not John"
    clauses = _clauses(bare)
    certain = [clause for clause in clauses if is_certain(clause)]
    if certain:
        told = [c for c in clauses if (c in certain or _is_single(c)) and not _over(c)] or certain
        facts = tuple(fact for clause in told for fact in _facts(clause, split=False))
        return Statement(_latest(facts), certain=True)
    if say.PENDING.match(bare):
        return Statement(_facts(bare, split=False))
    if (match := say.SELF.match(bare)) and _could_be_lasting(match["what"]):
        return Statement(_facts(bare, split=False))
    return None


def instruction(text: str) -> Fact | None:
    """Return a wish about the agent's manner (``from now on answer in rhyme``) as a note for its persona."""
    bare = strip_openers(text).rstrip(".! ")
    match = say.INSTRUCTION.match(bare)
    if match is None or bare.endswith("?"):
        return None
    lasting = match["when"] or re.search(r"\b(?:always|never|from now on|in future)\b", text, I)
    manner = re.search(
        r"\b(?:more|less|shorter|briefly|brief|short|long|formal|informal|polite|kind|funny|"
        r"concise|language|"
        r"emojis?|english|sentences|tone|style|words)\b",
        match["rest"],
        I,
    )
    if not (lasting or (match["verb"].casefold() == "be" and manner)):
        return None
    wish = re.sub(r"^(?:from now on|in (?:the )?future),?\s*", "", bare, flags=I)
    wish = re.sub(
        r"^(?:please |you (?:should|must|have to|can) |i(?:'d| would) like you to |"
        r"i want you to )+",
        "",
        wish,
        flags=I,
    )
    # "me" stays understandable in a note about how to speak to the user
    note = re.sub(r"\bme\b", "the user", re.sub(r"\bmy\b", "the user's", wish, flags=I), flags=I)
    return Fact(f"From now on: {note}.", f"from now on I should {to_user(wish)}")


def taken_back(text: str) -> str | None:
    """Return what is to be forgotten (``my phone number``), or None; ``forget it`` is none."""
    bare = strip_openers(text)
    match = say.FORGET.match(bare)
    if match is None:
        return None
    what = match["what"].strip()
    if not re.match(
        r"(?:about |that |what |where |who |how )?(?:my|i|i'm|our|we|me|everything|all)\b", what, I
    ):
        return None
    return what


def changed(text: str) -> tuple[str, str] | None:
    """Return attribute and new value of *change my favourite editor to emacs*."""
    match = say.CHANGE.match(strip_openers(text))
    return (match["what"].strip(), match["value"].strip()) if match else None


def corrected(text: str) -> Fact | None:
    """Return what *no, the exam is on Thursday* puts right, about anything but the user."""
    match = say.CORRECTION.match(text.strip().rstrip(".! "))
    slot = tuple(lore.content_words(match["what"])) if match else ()
    if match is None or not slot or text.rstrip().endswith("?"):
        return None
    told = f"{match['what']} {match['is']} {match['value']}"
    return Fact(sentence(about_user(told)), to_user(told), slot[:4])


def is_certain(clause: str) -> bool:
    """Tell whether a clause plainly states something lasting about the user."""
    clause = clause.strip()
    if say.HERE.match(clause):
        return True
    if not say.NAME_OF_ME.match(clause) and (
        say.FLEETING.match(clause) or say.PENDING.match(clause)
    ):
        return False
    if (
        say.NAME_OF_ME.match(clause)
        or say.HOME.match(clause)
        or say.JOB.match(clause)
        or say.CERTAIN.match(clause)
    ):
        return len(clause.split()) > 2
    if match := say.ATTRIBUTE.match(clause):
        head = lore.words(match["what"])
        return (
            bool(head)
            and head[-1] not in say.TRANSIENT_NOUNS
            and head[0] not in say.TRANSIENT_NOUNS
        )
    if re.match(
        r"^my (?:wife|husband|son|daughter|sister|brother|mother|father|mum|mom|dad|partner|"
        r"boss|friend|"
                r"girlfriend|boyfriend|cat|dog|kids|children|parents|colleague|aunt|uncle|"
                r"grand\w+)\b", clause, I):  # fmt: skip
        return len(clause.split()) > 3
    if match := re.match(
        r"[\w ]{2,40} (?:is|are) (?:not )?(?:my|our) (?P<what>[\w' -]+)$", clause, I
    ):
        return lore.words(match["what"])[-1] not in say.TRANSIENT_NOUNS
    if match := say.SELF.match(clause):
        what = match["what"]
        return (
            bool(say.LASTING.match(what))
            or what.split()[0].casefold() in say.DEMONYMS
            or _is_name(what)
        )
    return False


def _is_name(text: str) -> bool:
    first = text.split()[0].strip(",.!")
    return bool(re.fullmatch(r"[A-ZÀ-ÖØ-Þ][\w'’-]+", first)) and first.casefold() not in lore.STOP


def _could_be_lasting(what: str) -> bool:
    first = what.split()[0].casefold().strip(",.!")
    return first not in say.PASSING_STATES and not first.endswith("ing") and len(what.split()) <= 8


def _is_single(clause: str) -> bool:
    """Tell whether a clause says in one word what the user is (``i'm lena``)."""
    match = say.SELF.match(clause)
    return bool(match and len(match["what"].split()) == 1 and _could_be_lasting(match["what"]))


def _over(clause: str) -> bool:
    return bool(re.search(r"\b(?:any ?more|no longer)\b", clause, I))


def _clauses(text: str) -> list[str]:
    parts = re.split(
        r"(?:,|;|\.|!| -)?\s+(?:and|but|so)\s+(?=(?:i|i'm|i've|my|we|our)\b)|[,;.!]\s+(?=(?:i|"
        r"i'm|i've|my|we)\b)",
        text,
        flags=I,
    )
    return [part.strip(" ,;.!") for part in parts if part and part.strip(" ,;.!")]


def _facts(text: str, split: bool = True) -> tuple[Fact, ...]:
    text = text.strip(" ,;:")
    if not text or text.endswith("?") or not re.search(r"\w", text):
        return ()
    if text.casefold().rstrip(".! ") in say.NOTHING:
        return ()
    if match := say.NAME_AND_MORE.match(text):
        return _latest((_fact(f"my name is {match['name']}"), _fact(f"I am {match['more']}")))
    clauses = (
        _clauses(text) if split and re.match(r"(?:i|i'm|i've|my|we|our)\b", text, I) else [text]
    )
    return _latest(tuple(_fact(clause) for clause in clauses))


def _fact(clause: str) -> Fact:
    clause = clause.strip().rstrip(". ")
    if re.match(r"to \w", clause, I):  # "remember to water the fern"
        return Fact(sentence(f"to do: {to_user(clause[3:])}"), to_user(clause))
    clause = re.sub(
        r"^((?:my|our|the) [\w' ]+), (?:it's|it is|which is)\b", r"\1 is", clause, flags=I
    )
    slot = _slot(clause)
    clause = re.sub(r"\s+(?:now|nowadays|instead)$", "", clause, flags=I)
    clause = re.sub(r"^((?:i|we)(?:'m| am| are|'re)?) now\b", r"\1", clause, flags=I)
    clause = re.sub(r"^(my [\w ]+? (?:is|are)) now\b", r"\1", clause, flags=I)
    if slot == ("name",):
        if match := say.HERE.match(clause):
            return Fact(
                f"The user's name is {match['name']}.", f"your name is {match['name']}", slot
            )
        clause = re.sub(r"\s+(?:here|speaking)$", "", clause)
        if match := say.NAME_OF_ME.match(clause):
            name = clause[match.end() :]
            if re.match(r"i go by", clause, I):
                return Fact(f"The user goes by {name}.", f"you go by {name}", slot)
            if re.search(r"call", match.group(), I) and not re.match(r"i", clause, I):
                return Fact(
                    f"The user wants to be called {name}.", f"you want to be called {name}", slot
                )
            return Fact(f"The user's name is {name}.", f"your name is {name}", slot)
        if match := say.SELF.match(clause):
            name = match["what"]
            if len(name.split()) <= 3 and "," not in name:
                return Fact(f"The user's name is {name}.", f"your name is {name}", slot)
    return Fact(sentence(about_user(clause)), to_user(clause), slot)


def _slot(clause: str) -> tuple[str, ...] | None:
    if say.NAME_OF_ME.match(clause) or say.HERE.match(clause):
        return ("name",)
    if (
        (match := say.SELF.match(clause))
        and _is_name(match["what"])
        and match["what"].split()[0].casefold().strip(",") not in say.DEMONYMS
    ):
        return ("name",)
    if say.HOME.match(clause):
        return ("home",)
    if say.JOB.match(clause):
        return ("job",)
    if match := say.ATTRIBUTE.match(clause):
        what = tuple(lore.content_words(match["what"])) or tuple(lore.words(match["what"]))
        # A dog may be brown and be called Rex: only what has one value at a time is ever replaced.
        single = what and (
            what[0] in say.SINGLE or what[-1] in say.SINGLE or re.search(r"\bnow\b", clause, I)
        )
        return what[:4] if single else None
    return None


def _latest(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Of several facts about one thing keep the last (``I don't live in Paris, I live in Nantes``)."""
    kept: list[Fact] = []
    for fact in facts:
        if fact.slot is not None:
            kept = [other for other in kept if other.slot != fact.slot]
        kept.append(fact)
    return tuple(kept)
