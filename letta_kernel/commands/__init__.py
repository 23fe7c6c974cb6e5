"""One table of commands, for ``%agent`` in notebooks and for ``letta-kernel`` at the terminal.

Each module of this package has a group of them: functions that take a `door.Door` and what was given, and
return a `door.Answer`, which the door draws in its own way. From the table come both doors' parsing, help and
completion, and the documentation. A new command is one function more.
"""

from __future__ import annotations

# isort: off
# In the order of a person's work, which is that of the help: they enter their commands when imported.
from letta_kernel.commands import agents as agents, conversation as conversation
from letta_kernel.commands import compare as compare
from letta_kernel.commands import groups as groups, notebook as notebook
from letta_kernel.commands import memory as memory, sleeptime as sleeptime, archive as archive
from letta_kernel.commands import forgetting as forgetting, tools as tools
from letta_kernel.commands import rules as rules, mcp as mcp, skills as skills, insight as insight
from letta_kernel.commands import past as past
from letta_kernel.commands import sql as sql, eval as eval, debugger as debugger
from letta_kernel.commands import models as models, keeping as keeping, moving as moving
from letta_kernel.commands import program as program
from letta_kernel.commands import sharing as sharing, tokens as tokens, traces as traces
from letta_kernel.commands import people as people
from letta_kernel.commands import report as report

# isort: on
from letta_kernel.commands.spec import GROUPS, LIST, TABLE, Command, DoorName, command

__all__ = ["GROUPS", "LIST", "TABLE", "Command", "DoorName", "at", "command"]


def at(door: DoorName) -> dict[str, Command]:
    """Return the commands of a door by their names there, in the order of a person's work."""
    found = sorted(TABLE, key=lambda one: GROUPS.index(one.group))
    return {name: one for one in found if (name := one.name(door)) is not None}
