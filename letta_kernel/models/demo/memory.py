"""What the demo model keeps, forgets and looks up, and how it quotes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.demo import vocabulary
from letta_kernel.models.demo.request import Block, Scene

_KEEP = re.compile(
    r"(?i)(?:.{0,40}?\b)?(?:remember|memori[sz]e|note(?: down)?|keep in mind|don't forget|write down|"
    r"make a (?:mental )?note|(?:save|store|archive|put|add)\b.{0,60}?(?:memory|archive|archival|this|"
    r"that|down)|merke? dir|notiere|souviens-toi|note bien|rappelle-toi)\b(?: please| bitte)?[\s,:]*"
    r"(?:this|that|to|dass|que)?[\s,:]+(?P<what>\S[\s\S]*)"
)
_FORGET = re.compile(
    r"(?i).{0,20}\b(?:forget|delete|vergiss|oublie) (?P<what>.*\b(?:my|i|our|meine?|mon|ma)\b.*)"
)
_SEARCH = re.compile(
    r"(?i)\b(?:search|look|check|find)\b.*\b(?:archiv\w+|memory|conversations?|history|messages)\b"
    r"|\b(?:did|have|had|were) (?:i|we|you)\b.*\b(?:sa[iy]\w*|tell|told|talk\w*|mention\w*|discuss)"
)
_SELF = re.compile(
    r"(?i)(?:hi|hello|hey|by the way|btw|actually|so|also|no|wait|well|hallo|bonjour|[\s,!.-])*"
    r"(?P<fact>(?:(?:my|our) [\w ]+ (?:is|are|was|has)|(?:i'm|i am) (?:an? |from|called|allergic|not an? |"
    r"(?-i:[A-ZÀ-Þ])[\w'-]*)|i (?:\w+ )?(?:live|work|like|love|hate|prefer|speak|study|teach|play|drink|eat|"
    r"moved|have (?:an?|two|three|four|no) (?!question)|can't stand|don't (?:like|live|drink|eat))|"
    r"i've (?:got|moved)|we (?:live|have)|(?:you (?:can|may) )?call me|meine? \w+ ist|je m'appelle|"
    r"ich (?:heiße|bin|wohne|arbeite|mag)|je suis|j'habite|j'aime)\b.*)"
)
_BLOCK = "instructions"  # where the default prompt wants them
_STANDING = re.compile(
    r"(?i)(?:please |bitte |and |so )?(?:always|never|from now on|in (?:the )?future|whenever|every time|"
    r"(?:when|if) i ask(?=[^?]+, )|immer wenn|ab (?:jetzt|sofort)|in zukunft|toujours|désormais|à l'avenir|"
    r"siempre|a partir de ahora)\b(?!.*\?).*\w.*\s.*"
)
_SIGNS = (  # what a question is about, where a note may have other words for it
    (r"name|heiße|appell|called", r"\bname\b|\bcalled\b|heiße|appelle"),
    (r"live|wohn|habite", r"\bliv\w+\b|wohne|habite"),
    (r"job|work", r"\bworks?\b|\bjob\b|\bis an? \w+"),
    (r"old|age", r"\b\d+\b"),
)
_ASKING = vocabulary.word_set(
    "remember said tell told say mentioned know search memory archival forget"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A call to make (``name``) or something to say (``text``); ``note`` is what a call writes."""

    text: str = ""
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    why: str = ""  # one line: the reason for the choice


def asked_to_keep(text: str) -> str | None:
    """Return what *text* asks to be remembered, None where it asks for nothing."""
    match = _KEEP.fullmatch(text)
    if match is None or re.search(
        r"^(?:what|who|where|when|do|did)\b|n't remember|you remember", text, re.I
    ):
        return None
    return match["what"].strip(' ."') if len(match["what"].split()) > 1 else None


def told_of_self(text: str) -> str | None:
    """Return what *text* says of the person unasked, None where it says nothing lasting."""
    match = _SELF.fullmatch(text)
    if match is None or "?" in text:
        return None
    return re.sub(r",? (?:nice to meet|by the way|thanks|not [^\Wa-z]).*$", "", match["fact"])


def stand(scene: Scene, text: str) -> Step | None:
    """Return the call that keeps a standing instruction as it was given; None where *text* is none."""
    if _STANDING.fullmatch(text) is None or "core_memory_append" not in scene.tools:
        return None
    note = vocabulary.sentence(text)
    block = next((one for one in scene.blocks if one.label == _BLOCK), None)
    if block is not None and note in block.value:
        return Step(f"That stands already: “{note}”")
    why = "It holds from now on, so it has to be in sight."
    return Step("", "core_memory_append", {"label": _BLOCK, "content": note}, note, why)


def keep(scene: Scene, what: str, archive: bool = False) -> Step:
    """Return the call that writes a note: in place of an older one, in a block, or in the archive."""
    note, block = vocabulary.note_of(what), _usual_block(scene)
    if block is not None and not archive and len(note) <= min(600, block.room):
        if note in block.value:
            return Step(f"I know that already: “{note}”")
        old = next((one for one in _notes(block) if _head(one) and _head(one) == _head(note)), None)
        if old and (edit := _replace(scene, block, old, note)):
            return edit
        for name, key in (("core_memory_append", "content"), ("memory_insert", "new_string")):
            if name in scene.tools:
                return Step(
                    "", name, {"label": block.label, key: note}, note, "To be kept in memory."
                )
    if "archival_memory_insert" in scene.tools:
        note = what if archive else note
        return Step("", "archival_memory_insert", {"content": note}, note, "To be kept.")
    return Step("I have no memory tool to keep that with.")


def forget(scene: Scene, text: str) -> Step | None:
    """Return the call that takes a note out, or why none is made; None where *text* does not ask for that."""
    match, block = _FORGET.match(text), _usual_block(scene)
    if match is None or re.search(r"\bdon't forget\b", text, re.IGNORECASE):
        return None
    found = [one for one in _notes(block) if covers(one, match["what"]) >= 0.99] if block else []
    if block is None or len(found) != 1:
        listed = "; ".join(f"“{one}”" for one in found)
        return Step(
            f"Several notes fit; which one? {listed}" if found else "I have no note of that."
        )
    return _replace(scene, block, found[0], "") or Step("I have no memory tool to do that with.")


def search(scene: Scene, text: str, asked: bool) -> Step | None:
    """Return the call that looks something up, where *text* asks for that or (not *asked*) may need it."""
    if asked and not _SEARCH.search(text):
        return None
    names = ["archival_memory_search", "conversation_search"]
    if re.search(r"(?i)\b(?:conversation|sa[iy]|tell|told|talk|mention|discuss|history)", text):
        names.reverse()
    name = next((one for one in names if one in scene.tools), None)
    words = vocabulary.content_words(text.rpartition(":")[2])
    query = " ".join(word for word in words if word not in _ASKING) or text
    why = "You ask me to look it up." if asked else "My memory blocks do not say; I search."
    return Step("", name, {"query": query}, why=why) if name else None


def recall(scene: Scene, question: str) -> str:
    """Return the notes that answer *question* in a sentence, empty where none surely does."""
    personal = re.search(r"(?i)\b(?:i|my|me|we|our|ich|mein\w*|je|m'\w+|mon|ma)\b", question)
    if re.search(r"(?i)\bwho (?:am i|i am)\b", question):
        question = "name"
    blocks = [block for block in scene.blocks if block.label != "persona" or not personal]
    pool = [(f"My memory ({one.label})", note, "") for one in blocks for note in _notes(one)]
    numbered = enumerate(scene.retrieved, 1)  # as an answer may cite them
    pool += [("My archival memory", passage, f" [{n}]") for n, passage in numbered]
    scored = [(covers(note, question), where, note, cite) for where, note, cite in pool]
    best = max((score for score, *_ in scored), default=0.0)
    found = [one for score, *one in scored if score > best - 0.01][:3]
    if best < (0.5 if personal else 0.6):
        return ""
    return " ".join(f"{where} says: “{note}”{cite}" for where, note, cite in found)


def known(scene: Scene) -> str:
    """Return everything that the memory blocks hold."""
    held = [(one.label, one.value.strip().replace("\n", "\n> ")) for one in scene.blocks]
    told = [f"My memory ({label}) says:\n\n> {value}" for label, value in held if value]
    return "\n\n".join(told) or "My memory is still empty. Tell me, for example, your name."


def hits(text: str, message: str) -> str:
    """Return the best of what a search found, quoted, at most three; empty where it found nothing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    told = {
        str(one.get("content", "")).strip(): str(one.get("cite", ""))
        for one in listed
        if one.get("role") != "assistant"
    }
    best = sorted(
        (one for one in told if one not in ("", message)), key=lambda one: -covers(one, message)
    )
    return "; ".join(
        f"“{one}” {told[one]}".strip() for one in best[:2] if covers(one, message) > 0.3
    )


def covers(note: str, asked: str) -> float:
    """Return how much of what is *asked* a note speaks of, 0 to 1."""
    bare = vocabulary.content_words(re.sub(r"[-']", " ", asked))
    wanted = [word for word in bare if word not in _ASKING and len(word) > 1]
    said = [word for word in vocabulary.words(note) if word not in vocabulary.STOP]
    gained = 0.0
    for word in wanted:
        sign = next((sign for asking, sign in _SIGNS if re.match(asking, word)), None)
        near = max((vocabulary.nearness(word, other) for other in said), default=0.0)
        near = near if near > 0.5 else 0.0
        gained += 1.0 if sign and re.search(sign, note, re.IGNORECASE) else near
    return gained / len(wanted) if wanted else 0.0


def _usual_block(scene: Scene) -> Block | None:
    found = [block for block in scene.blocks if not block.read_only and block.label != "persona"]
    return next((block for block in found if block.label == "human"), found[0] if found else None)


def _notes(block: Block) -> list[str]:
    parts = re.split(r"\n+|(?<=[.!?])\s+(?=[^\Wa-z])", block.value)
    return [part.strip().lstrip("-*• ") for part in parts if part.strip("-*• ")]


def _head(note: str) -> str:
    """Return what a note gives a value for (``name``, ``lives``), empty where notes of its kind add up."""
    one = r"[\w ]*(?:name|number|address|job|birthday)|favou?rite [\w ]+"
    subject = rf"(?i)the user's ({one}) (?:is|are)\b|.*\bthe user (?:now )?(lives)\b|([\w ]+):"
    match = re.match(subject, note)
    return re.sub(r"s$", "", next(filter(None, match.groups()), "").casefold()) if match else ""


def _replace(scene: Scene, block: Block, old: str, new: str) -> Step | None:
    """Return the edit that puts *new* where *old* stands; empty takes its line away too."""
    why = f"It replaces “{old}” in memory." if new else f"It takes “{old}” out of memory."
    if not new:
        old = next((one for one in (f"{old}\n", f"\n{old}", f"{old} ") if one in block.value), old)
    for name, key in (("memory_replace", "string"), ("core_memory_replace", "content")):
        if name in scene.tools and block.value.count(old) == 1:
            given = {"label": block.label, f"old_{key}": old, f"new_{key}": new}
            return Step("", name, given, new, why)
    return None
