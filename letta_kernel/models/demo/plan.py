"""What the demo model does about a message: a list of steps, the same each time the same message is read."""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.models.demo import facts, notes, parts, recall, say
from letta_kernel.models.demo.arguments import Filled, fill, fill_answer
from letta_kernel.models.demo.choice import CALL, SURE, Choice, choose, rank
from letta_kernel.models.demo.facts import Fact, Statement
from letta_kernel.models.demo.notes import Step
from letta_kernel.models.demo.parameters import ToolSpec
from letta_kernel.models.demo.scene import Scene
from letta_kernel.models.demo.spans import find
from letta_kernel.models.demo.words import word_set

CORE = word_set(
    """send_message core_memory_append core_memory_replace memory memory_insert memory_replace memory_rethink
    memory_apply_patch memory_finish_edits archival_memory_insert archival_memory_search conversation_search"""
)
"""The built-in tools, which are chosen by what a message says of memory and never by similarity."""

LONGEST = 8_000
"""Characters of a message that are read for requests."""


def plan(scene: Scene) -> list[Step]:
    """Return the steps that answer the scene's message."""
    message = scene.message
    if not message:
        return [Step("say", text=say.SMALL_TALK["greeting"])]
    if len(message) > LONGEST:
        return _too_long(scene)
    if (followed := _follow_up(scene)) is not None:
        return followed
    small = parts.small_talk(message)
    if small:
        return [Step("say", text=say.SMALL_TALK[small])]
    if (again := _once_more(scene)) is not None:
        return [again]
    steps: list[Step] = []
    for part in parts.requests(message, lambda piece: _stands_alone(scene, piece)):
        steps.extend(_respond(scene, part, steps))
    steps = _merged(steps)
    if parts.is_private(message):
        steps = _unwritten(steps)
    told = [step for step in steps if step.text != say.UNCLEAR] if len(steps) > 1 else steps
    return told or steps


def _unwritten(steps: list[Step]) -> list[Step]:
    """Leave out what would be kept of a message that says not to."""
    listening = (say.UNCLEAR, say.LISTENING, say.REFUSED)
    left = [
        step
        for step in steps
        if step.kind != "write"
        and step.text not in listening
        and not say.asked_to_confirm(step.text)
    ]
    return [*left, Step("say", text=say.REFUSED)]


def _too_long(scene: Scene) -> list[Step]:
    """Keep a long text that is to be remembered; say of any other that it is too long to read."""
    kept = facts.asked_to_keep(scene.message[:LONGEST])
    payload = facts.long_payload(scene.message) if kept and kept[0] == "strong" else None
    if payload is None:
        return [Step("say", text=say.too_long(len(scene.message), LONGEST))]
    fact = Fact(payload, f"the text that begins with “{payload[:60]}…”")
    return notes.append(scene, (fact,), notes.usual_label(scene), archive=True)


def _merged(steps: list[Step]) -> list[Step]:
    """Make one call of several notes appended to one block."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if (
            last is not None
            and step.name == last.name == "core_memory_append"
            and step.arguments["label"] == last.arguments["label"]
        ):
            content = f"{last.arguments['content']}\n{step.arguments['content']}"
            both = {"label": step.arguments["label"], "content": content}
            merged[-1] = Step(
                "write", step.name, both, facts=(*last.facts, *step.facts), why=last.why
            )
        else:
            merged.append(step)
    return merged


def own_tools(scene: Scene) -> list[ToolSpec]:
    """Return the tools that are not built in."""
    return [tool for name, tool in scene.tools.items() if name not in CORE]


# -- answers to the model's own questions --------------------------------------------------------------


def _follow_up(scene: Scene) -> list[Step] | None:
    """Return what follows from an answer to the question the model asked last, None if it is none."""
    if not scene.before:
        return None
    earlier, asked = scene.before[-1]
    small = parts.small_talk(scene.message)
    if say.asked_to_confirm(asked):
        statement = facts.volunteered(earlier) or Statement(
            tuple(filter(None, [facts.corrected(earlier)]))
        )
        if small in ("yes", "cheer", "thanks") or parts.begins_with_yes(scene.message):
            return notes.write(scene, statement)
        if small in ("no", "never mind") or parts.is_refusal(scene.message):
            return [Step("say", text=say.NOT_KEPT)]
        return None
    name = say.asked_tool(asked)
    tool = scene.tools.get(name or "")
    if tool is None:
        return None
    if small in ("never mind", "no", "bye"):
        return [Step("say", text=say.SMALL_TALK["never mind"])]
    return _complete(scene, tool)


def _once_more(scene: Scene) -> Step | None:
    """Return the last call with other values, for *and what about Stavanger?*."""
    other = parts.what_about(scene.message)
    tool = scene.tools.get(scene.last_call.name) if scene.last_call else None
    if other is None or tool is None or scene.last_call is None or tool.name in CORE:
        return None
    if choose(scene.message, own_tools(scene)) is not None:
        return None  # it names what it wants
    changed = fill(tool, other).arguments
    if not changed and len(tool.needed) == 1:
        value = fill_answer(tool.needed[0], other)
        changed = {tool.needed[0].name: value} if value is not None else {}
    if not changed:
        return None
    arguments = {**scene.last_call.arguments, **changed}
    return Step("tool", tool.name, arguments, why=f"The same again: `{tool.name}`.")


def _complete(scene: Scene, tool: ToolSpec) -> list[Step] | None:
    """Put the answers to the model's questions about *tool* together with the request they complete."""
    texts = [scene.message]
    for user, answer in reversed(scene.before):
        if say.asked_tool(answer) != tool.name:
            break
        texts.append(user)
    texts.reverse()
    others = [t for t in own_tools(scene) if t.name != tool.name]
    if _is_new_request(scene, tool, others):
        return None
    arguments: dict[str, Any] = {}
    base = _request_for(scene, texts[0], tool)
    for number, text in enumerate([base, *texts[1:]]):
        open_ones = [p for p in tool.parameters if p.name not in arguments]
        asked_for = [p for p in open_ones if p.required]
        given = fill(
            ToolSpec(tool.name, tool.description, tuple(open_ones), words=tool.words), text
        ).arguments
        if number and len(asked_for) == 1 and asked_for[0].name not in given:
            value = fill_answer(asked_for[0], text)
            if value is not None:
                given[asked_for[0].name] = value
        arguments.update(given)
    order = [p.name for p in tool.parameters]
    arguments = dict(sorted(arguments.items(), key=lambda item: order.index(item[0])))
    missing = [p for p in tool.parameters if p.required and p.name not in arguments]
    if missing:
        return [Step("ask", text=say.ask_for(tool, missing))]
    return [Step("tool", tool.name, arguments, why=f"Now I have all that `{tool.name}` needs.")]


def _request_for(scene: Scene, text: str, tool: ToolSpec) -> str:
    """Return the part of an earlier message that asked for *tool*."""
    for part in parts.requests(text, lambda piece: _stands_alone(scene, piece)):
        best = rank(part, own_tools(scene))
        if best and best[0].tool.name == tool.name:
            return part
    return text


def _is_new_request(scene: Scene, tool: ToolSpec, others: list[ToolSpec]) -> bool:
    message = scene.message
    if facts.asked_to_keep(message) or parts.about_self(message) or parts.search_request(message):
        return True
    best = rank(message, [tool, *others])
    if (
        best
        and best[0].score >= SURE
        and (best[0].tool.name != tool.name or not best[0].filled.missing)
    ):
        return True
    volunteered = facts.volunteered(message)
    return bool(volunteered and volunteered.certain) or message.endswith("?")


# -- one request ---------------------------------------------------------------------------------------


def _stands_alone(scene: Scene, piece: str) -> bool:
    """Tell whether a piece of a sentence is a request or statement by itself."""
    if facts.asked_to_keep(piece) or parts.about_self(piece) or parts.search_request(piece):
        return True
    told = facts.volunteered(piece)
    if told is not None and told.certain:
        return True
    best = rank(piece, own_tools(scene))
    if best and best[0].score >= CALL + 0.05:
        return True
    return parts.is_question(piece) and len(piece.split()) > 2


def _respond(scene: Scene, part: str, earlier: list[Step]) -> list[Step]:
    small = parts.small_talk(part)
    if small:
        return [Step("say", text=say.SMALL_TALK[small])] if not earlier and small != "cheer" else []
    kept = facts.asked_to_keep(part)
    if parts.is_refusal(part) and not (kept and kept[0] == "strong"):
        return [Step("say", text=say.REFUSED)]
    if facts.asks_to_keep_nothing(part):
        return [Step("say", text=say.KEEP_WHAT)]
    own = own_tools(scene)
    best = choose(part, own)
    about = parts.about_self(part)
    if about and not (best and best.score >= SURE and not best.filled.missing and best.tool.needed):
        told = {
            "who": say.who(scene),
            "nature": say.NATURE,
            "skills": say.skills(scene, own),
        }
        return [Step("say", text=told[about])]
    memory = _memory(scene, part, kept, best)
    if memory is not None:
        return memory
    if best is not None and not _answered_by_memory(scene, part, best):
        return _call(scene, part, best)
    if parts.is_question(part) or parts.wants_telling(part):
        return _answer(scene, part)
    told_of = facts.volunteered(part)
    if told_of is not None and told_of.facts:
        if scene.has("core_memory_append", "memory_insert", "archival_memory_insert") is None:
            return [Step("say", text=say.LISTENING)]
        return [Step("ask", text=say.confirm(told_of.facts))]
    right = facts.corrected(part)
    if right and recall.outdated(scene, right, notes.usual_label(scene) or ""):
        return [Step("ask", text=say.confirm((right,)))]
    if re.match(
        r"(?:i|i'm|i've|i'd|we|we're|my|it|it's|that|that's|this|he|she|they)\b",
        part,
        re.IGNORECASE,
    ):
        return [Step("say", text=say.LISTENING)]
    return [Step("say", text=say.UNCLEAR)]


def _memory(
    scene: Scene, part: str, kept: tuple[str, Statement] | None, best: Choice | None
) -> list[Step] | None:
    """Return the steps where *part* is about what to remember, forget or look up, else None."""
    sure = best is not None and best.score >= SURE and not best.filled.missing
    if kept is not None and not (kept[0] == "weak" and sure):
        return notes.write(scene, kept[1])
    if what := facts.taken_back(part):
        return notes.forget(scene, what)
    if (change := facts.changed(part)) and (steps := notes.change(scene, *change)):
        return steps
    if (manner := facts.instruction(part)) and not sure:
        label = (
            "persona"
            if (block := scene.block("persona")) and not block.read_only
            else notes.usual_label(scene)
        )
        return notes.append(scene, (manner,), label, archive=False)
    if (wanted := parts.search_request(part)) and not sure:
        return notes.search(scene, *wanted, why="You ask me to look it up.")
    if re.search(
        r"\bwhat (?:do|have|did) you (?:know|remember(?:ed)?|learn(?:ed|t)?|got|stored?|saved?|"
        r"noted?)\b|\bwhat(?:'s| is)(?: stored| kept)? in your memory\b"
        r"|^(?:please )?(?:list|show|tell|give)\b(?: me)? (?:all|everything|what)\b.*"
        r"\b(?:you (?:know|remember|have (?:stored|saved|noted|in))|your memory)\b",
        part,
        re.IGNORECASE,
    ) and not re.search(r"\babout (?!me\b|us\b|my\b)\w", part, re.IGNORECASE):
        return [Step("say", text=say.known(scene, about_user=bool(re.search(r"\bme\b", part))))]
    told = facts.volunteered(part)
    if told is not None and told.certain:
        return notes.write(scene, told)
    return None


def _answered_by_memory(scene: Scene, part: str, best: Choice) -> bool:
    """Tell whether a personal question is for memory rather than for a tool that comes only near."""
    if not (parts.is_question(part) and recall.is_personal(part)):
        return False
    return (
        (best.score < SURE or bool(best.filled.missing))
        and (bool(recall.answer(scene, part)) or bool(best.filled.missing))
        and best.score < 0.9
    )


def _call(scene: Scene, part: str, best: Choice) -> list[Step]:
    tool, filled = best.tool, best.filled
    if filled.missing:
        return [Step("ask", text=say.ask_for(tool, filled.missing))]
    why = f"`{tool.name}` fits best (similarity {min(best.score, 1):.2f})."
    return [
        Step("tool", tool.name, arguments, why=why) for arguments in _repeated(tool, filled, part)
    ]


def _repeated(tool: ToolSpec, filled: Filled, part: str) -> list[dict[str, Any]]:
    """Return one set of arguments for each of several values (``the weather in Rome and in Cairo``)."""
    needed = tool.needed
    if (
        len(needed) != 1
        or needed[0].type not in ("string", "integer", "number")
        or needed[0].kind == "text"
    ):
        return [filled.arguments]
    name = needed[0].name
    for spans in find(part).lists:
        pieces = [*spans]
        if spans[0].kind not in ("name", "quoted", "id", "number"):
            continue
        for span in pieces:
            value = span.value if span.kind == "number" else span.text
            if value == filled.arguments[name]:
                sets = []
                for other in pieces:
                    given: Any = other.text
                    if needed[0].type != "string":
                        given = int(other.value) if needed[0].type == "integer" else other.value
                    sets.append({**filled.arguments, name: given})
                return sets
    return [filled.arguments]


def _answer(scene: Scene, part: str) -> list[Step]:
    found = recall.answer(scene, part)
    if found:
        return [Step("say", text=recall.tell(found))]
    if recall.is_personal(part) and not parts.wants_telling(part):
        where = "archival" if scene.passages != 0 else "conversation"
        return notes.search(scene, where, parts.topic(part))
    return [Step("say", text=say.GENERAL)]
