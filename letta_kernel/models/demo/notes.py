"""Writing memory: the calls that keep, replace, take back and look up what a person told the demo model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.demo import recall, say
from letta_kernel.models.demo.facts import Fact, Statement
from letta_kernel.models.demo.scene import Scene

_LONG_FACT = 600  # characters from which a text goes to the archive rather than into a block


@dataclass(frozen=True, slots=True)
class Step:
    """A call to make (``name``) or something to say (``text``); ``kind`` says how its result is told."""

    kind: str  # tool, write, search, say, ask
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    facts: tuple[Fact, ...] = ()
    why: str = ""  # one line: the reason for the choice


def usual_label(scene: Scene) -> str | None:
    """Return the block that facts about the user go to."""
    human = scene.block("human")
    if human is not None and not human.read_only:
        return "human"
    others = [
        block.label for block in scene.blocks if not block.read_only and block.label != "persona"
    ]
    return others[0] if others else None


def write(scene: Scene, statement: Statement) -> list[Step]:
    """Return the steps that keep what a statement says: new facts appended, outdated ones replaced."""
    block = scene.block(statement.label) if statement.label else None
    label = block.label if block and not block.read_only else usual_label(scene)
    if label is None or statement.archive or sum(len(f.note) for f in statement.facts) > _LONG_FACT:
        return append(scene, statement.facts, label, archive=True)
    steps: list[Step] = []
    fresh: list[Fact] = []
    for fact in statement.facts:
        old = recall.outdated(scene, fact, label)
        if recall.keeps_already(scene, fact, label):
            steps.append(Step("say", text=f"I know already that {fact.said}."))
        elif old is not None and (edit := _replace(scene, old, fact.note, (fact,))):
            steps.append(edit)
        else:
            fresh.append(fact)
    return [*steps, *(append(scene, tuple(fresh), label, archive=False) if fresh else [])]


def append(
    scene: Scene, facts: tuple[Fact, ...], label: str | None, *, archive: bool
) -> list[Step]:
    """Return the call that adds facts to a block, or to the archive where asked or where they do not fit."""
    content = "\n".join(fact.note for fact in facts)
    block = scene.block(label) if label else None
    if not facts:
        return [Step("say", text=say.LISTENING)]
    if not archive and block is not None and block.room > len(content):
        if scene.has("core_memory_append"):
            return [_writing("core_memory_append", {"label": label, "content": content}, facts)]
        if scene.has("memory_insert"):
            return [_writing("memory_insert", {"label": label, "new_string": content}, facts)]
        if scene.has("memory_rethink"):
            whole = f"{block.value}\n{content}" if block.value else content
            return [_writing("memory_rethink", {"label": label, "new_memory": whole}, facts)]
    if scene.has("archival_memory_insert"):
        return [_writing("archival_memory_insert", {"content": content}, facts)]
    if archive and block is not None:
        return append(scene, facts, label, archive=False)
    return [Step("say", text=say.NO_MEMORY)]


def _writing(name: str, arguments: dict[str, Any], facts: tuple[Fact, ...]) -> Step:
    return Step("write", name, arguments, facts=facts, why="That is worth keeping in memory.")


def _replace(scene: Scene, old: recall.Segment, new: str, facts: tuple[Fact, ...]) -> Step | None:
    """Return the edit that puts *new* where a note stands, by the tool there is; None if there is none."""
    edit = recall.replacement(scene, old, new)
    block = scene.block(old.label)
    if block is None or block.read_only:
        return None
    arguments: dict[str, Any]
    if scene.has("memory_replace") and block.value.count(edit.old) == 1:
        arguments = {"label": edit.label, "old_string": edit.old, "new_string": edit.new}
        name = "memory_replace"
    elif scene.has("core_memory_replace"):
        arguments = {"label": edit.label, "old_content": edit.old, "new_content": edit.new}
        name = "core_memory_replace"
    elif scene.has("memory_rethink"):
        arguments = {"label": edit.label, "new_memory": block.value.replace(edit.old, edit.new, 1)}
        name = "memory_rethink"
    else:
        return None
    return Step("write", name, arguments, facts=facts, why=f"It replaces “{old.text}” in memory.")


def forget(scene: Scene, what: str) -> list[Step]:
    """Return the call that takes out the one note *what* speaks of."""
    label = usual_label(scene)
    notes = recall.about(scene, what, label) if label else []
    if not notes:
        return [
            Step(
                "say",
                text="I have no note of that in my memory blocks, so there is nothing to forget.",
            )
        ]
    if len(notes) > 1:
        listed = "\n".join(f"- “{note.text}”" for note in notes)
        return [Step("say", text=f"Several notes fit; tell me which one to forget:\n\n{listed}")]
    gone = Fact("", f"to forget “{notes[0].text}”")
    step = _replace(scene, notes[0], "", (gone,))
    return [step] if step else [Step("say", text=say.NO_MEMORY)]


def change(scene: Scene, what: str, value: str) -> list[Step] | None:
    """Return the edit for *change my … to …* where memory has such a note, else None."""
    label = usual_label(scene)
    notes = recall.about(scene, what, label) if label else []
    if len(notes) != 1:
        return None
    fact = Fact(f"The user's {what} is {value}.", f"your {what} is {value}")
    step = _replace(scene, notes[0], fact.note, (fact,))
    return [step] if step else None


def search(
    scene: Scene, where: str, query: str, *, why: str = "My memory blocks do not say; I search."
) -> list[Step]:
    """Return the call that searches archival memory or the conversation."""
    names = {"archival": "archival_memory_search", "conversation": "conversation_search"}
    other = "conversation" if where == "archival" else "archival"
    name = scene.has(names[where], names[other])
    if name is None:
        return [
            Step(
                "say",
                text=f"I find nothing about “{query}” in my memory blocks, and have no tool to search further.",
            )
        ]
    return [Step("search", name, {"query": query}, why=why)]
