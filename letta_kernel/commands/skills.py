"""Skills: folders with instructions and scripts that agents may read and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.commands.door import YES, Answer, Door, how
from letta_kernel.commands.spec import argument, command
from letta_kernel.commands.tools import GROUP

if TYPE_CHECKING:
    from letta_kernel.service import FoundSkill

NAMES = argument("Skills; all if none is named", None, shown="NAME …", values="skill")
_SCRIPTS_SHOWN = 5
_STATES = {
    "allowed": "offered",
    "new": "waits for your yes",
    "changed": "has changed, waits for your yes",
    "off": "off",
}


@command("skills", "skill list", group=GROUP, lists=True)
def list_skills(door: Door) -> Answer:
    """List the skills beside the notebook and in the project, and which agents are offered.

    A skill is a folder with a SKILL.md, in skills/ or .agents/skills/ beside the notebook, or in the project's
    own skills/. Agents see names and descriptions of those that you have allowed, read them when they need
    them, and run their scripts in the sandbox after your word. One that changes is not offered until you
    allow it again.
    """
    from letta_kernel.display.tables import table

    found = door.service.skills.list()
    rows: list[list[object]] = [
        [one.name, one.skill.description if one.skill else "", state(one), _where(door, one)]
        for one in found
    ]
    empty = "No skills here: a skill is a folder with a SKILL.md in skills/ or .agents/skills/."
    data = [
        {
            "name": one.name,
            "description": one.skill.description if one.skill else None,
            "state": one.state,
            "problem": one.problem or None,
            "folder": str(one.folder),
        }
        for one in found
    ]
    notes = []
    if any(one.state in ("new", "changed") for one in found):
        notes = [f"{how(door, 'skills allow')} offers them."]
    return Answer(
        data=data,
        panel=lambda: table(["skill", "what it is for", "state", "where"], rows, empty=empty),
        notes=notes,
    )


@command("skills allow", "skill allow", group=GROUP)
def allow(door: Door, names: list[str] | None = NAMES, yes: bool = YES) -> Answer:
    """Offer skills to agents, as they are now; you see what they are and are asked."""
    skills = door.service.skills
    wanted = [one for one in skills.list() if one.skill and (not names or one.name in names)]
    if not wanted and not names:
        return Answer("No skills here.")
    for one in wanted:
        door.say(_described(door, one))
    if wanted and not door.confirmed("Offer them to agents?", yes):
        return Answer("Nothing has changed.")
    done = skills.allow(names or ())
    return Answer(f"Agents are offered: {', '.join(one.name for one in done)}.", done)


@command("skills off", "skill off", group=GROUP)
def off(door: Door, names: list[str] | None = NAMES) -> Answer:
    """Offer skills no more."""
    done = door.service.skills.off(names or ())
    if not done:
        return Answer("No skills here.")
    return Answer(f"Not offered any more: {', '.join(one.name for one in done)}.", done)


def state(one: FoundSkill) -> str:
    """Return how a skill stands, in words."""
    return _STATES.get(one.state) or f"cannot be offered: {one.problem}"


def _where(door: Door, one: FoundSkill) -> str:
    beside = door.home.parent
    return str(one.folder.relative_to(beside) if one.folder.is_relative_to(beside) else one.folder)


def _described(door: Door, one: FoundSkill) -> str:
    assert one.skill is not None
    others = [path for path in one.skill.paths if path != "SKILL.md"]
    listed = ", ".join(others[:_SCRIPTS_SHOWN]) + (", …" if len(others) > _SCRIPTS_SHOWN else "")
    files = f"; with {listed}" if others else ""
    return f"{one.name} ({_where(door, one)}{files}): {one.skill.description}"
