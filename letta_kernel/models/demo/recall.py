"""Remembering: which line of memory answers a question, or is what a correction speaks of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.facts import Fact, asked_to_keep
from letta_kernel.models.demo.grammar import read_back, sentence
from letta_kernel.models.demo.scene import Block, Scene

# What a question asks for, and the words by which a note may say it.
_KIN = {
    "name": "name named called",
    "called": "name named called goes",
    "live": "live lives living lived home city address based moved resides from town",
    "home": "live lives home based moved",
    "from": "from born grew lives",
    "living": "work works working job profession occupation employed teacher",
    "job": "work works working job profession occupation employed",
    "work": "work works working job profession employed employer",
    "profession": "work works job profession occupation",
    "pet": "pet pets cat cats dog dogs parrot rabbit hamster fish horse bird",
    "pets": "pet pets cat cats dog dogs parrot rabbit hamster fish horse bird",
    "instrument": "play plays instrument",
    "hobby": "hobby hobbies likes enjoys loves plays",
    "hobbies": "hobby hobbies likes enjoys loves plays",
    "like": "like likes love loves favourite favorite prefer prefers enjoys hobby hobbies",
    "likes": "like likes love loves favourite favorite prefer prefers enjoys",
    "best": "favourite favorite best prefer prefers",
    "prefer": "prefer prefers favourite favorite likes",
    "favourite": "favourite favorite prefers likes loves best",
    "favorite": "favourite favorite prefers likes loves best",
    "eat": "eat eats food vegetarian vegan allergic diet",
    "food": "food eats vegetarian vegan dish cuisine",
    "allergies": "allergic allergy allergies intolerant",
    "allergic": "allergic allergy allergies intolerant",
    "children": "children child kids kid son sons daughter daughters",
    "kids": "children child kids kid son sons daughter daughters",
    "family": "children kids son daughter wife husband sister brother mother father married",
    "wife": "wife married spouse", "husband": "husband married spouse", "partner": "partner wife husband",
    "age": "age old years turned born", "old": "age old years turned born",
    "birthday": "birthday born", "born": "born birthday",
    "speak": "speak speaks speaking language languages", "language": "language languages speaks",
    "colour": "colour color", "color": "colour color",
    "phone": "phone number telephone mobile", "email": "email mail",
    "lead": "lead leads leader", "leads": "lead leads leader", "boss": "boss manager",
    "due": "deadline due", "deadline": "deadline due",
    "drink": "drink drinks coffee tea", "drive": "drive drives car", "car": "car drives",
    "moved": "moved lives",
}  # fmt: skip
_SLOT_SIGNS = {
    "name": re.compile(
        r"^(?:the )?(?:user|human|person)?(?:'s)?\s*(?:full |first )?name(?:'s| is|:| =)|"
        r"^(?:the user |my name )?(?:goes by|is called|"
        r"is named|wants to be called)|^call (?:the user|me|them)\b|^my name\b",
        re.IGNORECASE,
    ),
    "home": re.compile(
        r"^(?:i|(?:the )?user|they|he|she)?\s*(?:(?:currently|now) )?(?:live|lives|living|moved|"
        r"based|is based|resides)\b.*\b(?:in|to|at|near)\b|"
        r"^(?:home|city|town|location|address|residence|lives in)\s*(?::|is\b)",
        re.IGNORECASE,
    ),
    "job": re.compile(
        r"^(?:i|(?:the )?user|they|he|she)?\s*(?:works?|working|is employed|employed) (?:as|for|"
        r"at|in)\b|^(?:the user's )?"
        r"(?:job|profession|occupation|work|employer)\s*(?::|is\b)",
        re.IGNORECASE,
    ),
}
_HOW_TO = re.compile(
    r"\b(?:how (?:do|can|should|could|would|might|to) (?:i|we)|^(?:can|could|should|may) (?:i|"
    r"we)|tell me|show me|give me|for me|to me|let me)\b",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"\b(?:i|i'm|i've|me|my|mine|myself|we|our|us|ours)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence or line of memory, exactly as it stands, and where."""

    label: str  # a block's label, "" for archival memory
    text: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """An exact piece of a block and what to put in its place."""

    label: str
    old: str
    new: str


def segments(block: Block) -> list[Segment]:
    """Return the sentences and lines of a block."""
    pieces: list[str] = []
    for line in block.value.splitlines():
        pieces.extend(
            re.split(
                r"(?<=[.!?])(?<!\b(?:St|Dr|Mr|Ms|Jr|No)\.)(?<!\bMrs\.)\s+(?=[A-ZÀ-Þ\d])",
                line.strip(),
            )
        )
    return [Segment(block.label, piece.lstrip("-*• ")) for piece in pieces if piece.strip("-*• ")]


def is_personal(text: str) -> bool:
    """Tell whether a question is about the user (*how do I cook rice* is not)."""
    return bool(_PERSONAL.search(_HOW_TO.sub(" ", text)))


def answer(scene: Scene, question: str) -> list[Segment]:
    """Return the notes that answer *question*, best first; none where nothing surely does."""
    asked = [word for word in lore.words(question) if _tells(word)]
    asked = _drop_verbs(asked, question)
    if re.search(r"\bwho (?:am i|i am)\b", question, re.IGNORECASE):
        asked = ["name"]
    elif re.search(
        r"\bwhat (?:do i|i) do\b(?! (?:about|with|if|when|on|in|now|next))", question, re.IGNORECASE
    ):
        asked = ["job"]
    if not asked:
        return []
    personal = is_personal(question)
    pool = [
        segment
        for block in scene.blocks
        if block.label != "persona" or not personal
        for segment in segments(block)
    ] + [Segment("", passage) for passage in scene.retrieved]
    scored = []
    for segment in pool:
        covered = sum(_covers(segment, word) for word in asked) / len(asked)
        scored.append((covered, segment))
    if asked == ["name"] and any(_SLOT_SIGNS["name"].search(s.text) for _, s in scored):
        scored = [(score, s) for score, s in scored if _SLOT_SIGNS["name"].search(s.text)]
    # Of notes that are not asked for as one's own, two telling words must be found.
    enough = 0.45 if personal else 0.6 if len(asked) > 1 else 0.99
    if not personal and len(asked) > 1:
        scored = [(score, s) for score, s in scored if sum(_covers(s, w) >= 0.9 for w in asked) > 1]
    best = max((score for score, _ in scored), default=0.0)
    if best < enough:
        return []
    return [
        segment
        for score, segment in sorted(scored, key=lambda x: -x[0])
        if score >= max(enough, best - 0.01)
    ][:3]


_ASKING = lore.word_set(
    """what what's who who's where where's when when's which how why do does did is are am was were can could
    you your remember recall know tell me my mine i i'm we our us the a an of for to in on at about again
    still have has had any so far please it this that called get said told say much many one ones kind sort
    really currently now exactly go and or there with be been will would should shall think s mention
    mentioned me's us's anything something everything"""
)


def _tells(word: str) -> bool:
    return (word not in _ASKING and not word.isdigit()) or word in ("called", "old", "from", "like")


def _drop_verbs(asked: list[str], question: str) -> list[str]:
    if "called" in asked and len(asked) > 1 and "name" not in asked:
        asked = [word for word in asked if word != "called"]
    if "like" in asked and re.search(
        r"\b(?:what is|what's|look|looks|would|is it) like\b|\bwould like\b",
        question,
        re.IGNORECASE,
    ):
        asked = [word for word in asked if word != "like"]
    if "from" in asked and not re.search(r"\bfrom\W*$", question, re.IGNORECASE):
        asked = [word for word in asked if word != "from"]
    if len(asked) > 1 and "living" in asked and "work" in asked:
        asked = ["work"]
    return [word.removesuffix("'s") for word in asked]


def _covers(segment: Segment, word: str) -> float:
    """Return how surely *segment* speaks of *word*."""
    said = lore.words(f"{segment.label} {segment.text}")
    kin = set(_KIN.get(word, "").split())
    best = 0.0
    for other in said:
        other = other.removesuffix("'s")
        if lore.same_word(word, other):
            return 1.0
        if other in kin:
            best = max(best, 0.95)
    if not best and word in ("job", "work", "living", "profession") and _TRADE.search(segment.text):
        best = 0.9
    if word in ("old", "age") and _YEARS.search(segment.text):
        best = 0.95
    if best:
        return best
    near = max((lore.kinship(word, other) for other in said if other not in lore.STOP), default=0.0)
    return 0.7 * near if near >= 0.5 else 0.0


_YEARS = re.compile(r"\b(?:is|am|are|turned) \d{1,3}\b(?!\s*[%\w])", re.IGNORECASE)
_TRADE = re.compile(
    r"\b(?:is|am|i'm|as) an? (?!vegan|vegetarian|night owl|fan\b|morning|mother|father|bit\b)\w+",
    re.IGNORECASE,
)


def outdated(scene: Scene, fact: Fact, label: str) -> Segment | None:
    """Return the one note that *fact* replaces, None where there is none or more than one."""
    block = scene.block(label)
    if block is None or fact.slot is None:
        return None
    kind = fact.slot[0]
    if len(fact.slot) == 1 and kind in _SLOT_SIGNS:
        found = [segment for segment in segments(block) if _SLOT_SIGNS[kind].search(segment.text)]
        return found[0] if len(found) == 1 or (found and kind == "name") else None
    found = [segment for segment in segments(block) if _about(segment, fact.slot)]
    return found[0] if len(found) == 1 else None


def _about(segment: Segment, words: tuple[str, ...]) -> bool:
    """Tell whether a note is about an attribute: it begins with all of its words."""
    head = re.split(r":|=|\b(?:is|are|was|were)\b", segment.text, maxsplit=1)[0]
    said = lore.words(head)
    return all(any(lore.same_word(word, other) for other in said) for word in words)


def about(scene: Scene, what: str, label: str) -> list[Segment]:
    """Return the notes in a block that *what* (``my phone number``, ``where I live``) speaks of."""
    block = scene.block(label)
    if block is None:
        return []
    if re.match(r"(?:everything|all)\b", what, re.IGNORECASE):
        return segments(block)
    asked = [w for w in lore.words(what) if _tells(w)] or lore.content_words(what)
    if not asked:
        return []
    found = [s for s in segments(block) if all(_covers(s, word) >= 0.9 for word in asked)]
    return found or [
        s for s in segments(block) if _SLOT_SIGNS["home"].search(s.text) and "live" in asked
    ]


def replacement(scene: Scene, segment: Segment, new: str) -> Replacement:
    """Return the edit that puts *new* in the place of a note; empty takes its line or blank away too."""
    old = segment.text
    block = scene.block(segment.label)
    if not new and block is not None:
        for longer in (f"{old}\n", f"\n{old}", f"{old} ", f" {old}"):
            if longer in block.value:
                old = longer
                break
    return Replacement(segment.label, old, new)


def keeps_already(scene: Scene, fact: Fact, label: str) -> bool:
    """Tell whether a block says *fact* already."""
    block = scene.block(label)
    bare = _bare(fact.note)
    return block is not None and any(_bare(segment.text) == bare for segment in segments(block))


def _bare(text: str) -> str:
    return " ".join(lore.words(text))


def tell(found: list[Segment]) -> str:
    """Return notes as sentences to the user, saying where they are from."""
    lines = []
    for segment in found:
        told = read_back(segment.text)
        if told.startswith("“"):
            where = f"My memory ({segment.label})" if segment.label else "My archival memory"
            lines.append(f"{where} says: {told}")
        else:
            lines.append(sentence(told))
    return " ".join(lines)


def _told(message: str) -> str:
    """Return what a message asked to be remembered, or the message."""
    kept = asked_to_keep(message)
    return " ".join(fact.note for fact in kept[1].facts) if kept else message


def read_hits(text: str, query: str, message: str) -> list[str]:
    """Return the contents a search found that bear on *query*, best first."""
    try:
        hits = json.loads(text)
    except ValueError:
        return []
    if not isinstance(hits, list):
        return []
    wanted = lore.content_words(query) or lore.words(query)
    scored: list[tuple[float, int, str]] = []
    for at, hit in enumerate(hits):
        content = str(hit.get("content", "")) if isinstance(hit, dict) else str(hit)
        role = hit.get("role", "") if isinstance(hit, dict) else ""
        if (
            not content
            or content.strip().endswith("?")
            or _bare(content) == _bare(message)
            or role == "assistant"
        ):
            continue
        said = lore.words(content)
        score = sum(any(lore.same_word(word, other) for other in said) for word in wanted) / max(
            1, len(wanted)
        )
        if score == 0:
            score = max(0.0, float(lore.vector(query) @ lore.vector(content[:500]))) - 0.35
        if score > 0:
            scored.append((score, -at, _told(content) if role == "user" else content))
    scored.sort(reverse=True)
    best = scored[0][0] if scored else 0.0
    return [content for score, _at, content in scored if score >= best - 0.3][:3]
