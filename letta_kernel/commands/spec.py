"""What a command is: its name at each door, what it takes, its help, and the function that does it.

Nothing heavy is imported here or by the modules of commands: help and completion have to come at once.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar, get_args, get_origin

DoorName = Literal["notebook", "terminal"]
Kind = Literal["flag", "word", "text", "list", "int", "float"]
Handler = TypeVar("Handler", bound=Callable[..., Any])

DOORS: tuple[DoorName, ...] = ("notebook", "terminal")
PROGRAMS: dict[DoorName, str] = {"notebook": "%agent", "terminal": "letta-kernel"}

GROUPS = (
    "Agents",
    "Talking",
    "Memory",
    "Tools",
    "Its past",
    "What it sees and takes",
    "Model and settings",
    "Keeping and sharing",
    "The program",
    "Help",
)
"""The headings of every help, in the order of a person's work."""

TERMINAL_GROUPS = {
    "agent": "Agents: make, list, look at, change, delete, export and import them.",
    "group": "Groups of agents that are talked to together: make, list, look at, change, delete them.",
    "memory": "Memory blocks: read, write, compare and take back.",
    "sleeptime": "Sleep-time agents: others that tidy an agent's memory while it rests.",
    "archive": "Archival memory: add, search, list, delete, forget, restore and tag.",
    "tool": "Tools: list, look at, add, attach, detach and run them.",
    "rule": "Tool rules: which tools an agent may, or must, call when.",
    "mcp": "MCP servers, whose tools agents can call.",
    "skill": "Skills: folders of instructions and scripts that agents may use.",
    "break": "Breakpoints: what an agent's runs stop at.",
    "model": "Models: list them, choose one, download one.",
    "trace": "Runs as OpenTelemetry spans: sent to a collector, or saved to a file.",
    "people": "Persons, each with a project, that one server serves: add, bound, remove them.",
    "token": "Tokens, which let clients of a server in: make, list and revoke them.",
}
"""What the first words of commands of two words are about, at the terminal."""

REQUIRED = object()
LIST = "list"
"""Behind a command that shows what there is: one word for it everywhere."""

METAVARS = {
    "agent": "AGENT",
    "group": "@GROUP",
    "manager": "KIND",
    "any_agent": "AGENT",
    "person": "USER",
    "speaker": "AGENT|@GROUP",
    "switch": "on|off",
    "tools_of": "on|memory|off",
    "match": "any|all",
    "context": "on|whole|off",
    "time": "TIME",
    "tool": "TOOL",
    "file": "FILE",
}


class Policy(StrEnum):
    """What happens with calls that need a person's word."""

    ask = "ask"
    approve = "approve"
    deny = "deny"
    wait = "wait"


@dataclass(frozen=True, slots=True)
class Takes:
    """How a parameter of a handler is given; `argument` and `option` make it, as the parameter's default.

    Parameters
    ----------
    help
        What it is, without a full stop.
    default
        What it is if it is not given; `REQUIRED` if it has to be.
    notebook, terminal
        How it is written at that door: ``--limit -n``, ``--`` for its own name, empty for a word by
        position; None where it cannot be given.
    values
        Which words may stand there, as `letta_kernel.commands.values` knows them.
    free
        A text just as it is written; a notebook fills in ``{expressions}``.
    repeated
        A notebook's option for one value that may be repeated; any other list is separated by commas.
    whose
        It names an agent, and the handler gets that. In a notebook it is the current one if not given.
    required
        The door at which it has to be given although it has a default.
    least, most
        Bounds of a number.
    shown
        What stands for the value in help.
    variable
        The environment variable that a terminal takes it from.
    """

    help: str
    default: Any
    notebook: str | None = "--"
    terminal: str | None = "--"
    values: str = ""
    free: bool = False
    repeated: bool = False
    whose: bool = False
    required: DoorName | None = None
    least: float | None = None
    most: float | None = None
    shown: str = ""
    variable: str | None = None


def option(help: str, default: Any = None, **how: Any) -> Any:
    """Return what is given by its name, as ``--limit 3``; `Takes` says how."""
    return Takes(help, default, **how)


def argument(help: str, default: Any = REQUIRED, **how: Any) -> Any:
    """Return what is given by its position; `Takes` says how."""
    return Takes(help, default, **{"notebook": "", "terminal": "", **how})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a command takes at one door."""

    key: str  # the parameter of the handler
    spelled: tuple[str, ...]  # as an option; empty for a word by position
    type: Any
    kind: Kind
    default: Any
    required: bool
    takes: Takes

    @property
    def name(self) -> str:
        """The option's first spelling, else its key."""
        return self.spelled[0] if self.spelled else self.key

    @property
    def rest(self) -> bool:
        """Whether it is a word by position that takes all that follows."""
        return not self.spelled and (self.takes.free or self.kind == "list")

    @property
    def usage(self) -> str:
        """How it is written in a line of help."""
        named = self.name.removeprefix("--").replace("_", "-").rsplit("-", 1)[-1].upper()
        shown = self.takes.shown or METAVARS.get(self.takes.values) or named
        if not self.spelled:
            return self.takes.shown or self.key.upper()
        if self.kind == "flag":
            return self.name
        by_kind = {"int": "N", "float": "N", "text": "TEXT"}
        if self.kind == "list" and not self.takes.repeated:
            shown = "A,B"
        return f"{self.name} {by_kind.get(self.kind, shown)}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command; a name of two words such as ``archival add`` belongs under the first.

    Parameters
    ----------
    notebook, terminal
        Its name behind ``%agent`` and behind ``letta-kernel``; None where it is not to be had. A
        notebook's that begins with ``%%`` is a cell magic of that name.
    group
        One of `GROUPS`.
    handler
        Takes a `letta_kernel.commands.door.Door` and what was given, returns an answer to be shown.
    makes
        At the terminal: it makes the project where there is none.
    lists
        In a notebook the word ``list`` may stand behind it.
    """

    notebook: str | None
    terminal: str | None
    group: str
    handler: Callable[..., Any]
    makes: bool = False
    lists: bool = False
    _taken: dict[DoorName, tuple[Parameter, ...]] = field(default_factory=dict, repr=False)

    def name(self, door: DoorName) -> str | None:
        """Return its name at a door, None where it is not to be had."""
        return self.notebook if door == "notebook" else self.terminal

    @property
    def help(self) -> str:
        """What it does, in a sentence."""
        return (inspect.getdoc(self.handler) or "").partition("\n\n")[0].replace("\n", " ")

    @property
    def about(self) -> str:
        """What else there is to know of it."""
        return (inspect.getdoc(self.handler) or "").partition("\n\n")[2]

    def takes(self, door: DoorName) -> tuple[Parameter, ...]:
        """Return what it takes at a door, in the handler's order."""
        if door not in self._taken:
            self._taken[door] = tuple(_parameters(self.handler, door))
        return self._taken[door]

    def run(self, door: Any, given: dict[str, Any]) -> Any:
        """Do it at a `letta_kernel.commands.door.Door`, with what was *given* there; return its answer."""
        all_, handler = {}, self.handler
        for one in list(inspect.signature(self.handler).parameters.values())[1:]:
            takes = one.default
            value = given.get(one.name)
            if value is None and takes.default is not REQUIRED:
                value = takes.default
            if one.annotation == "bool":
                value = bool(value)
            if takes.whose and (value is not None or door.at == "notebook"):
                shared = door.shared(value) if self.handler in OF_SHARED else None
                if shared is not None:
                    handler = OF_SHARED[self.handler]
                value = shared or door.agent(value)
            all_[one.name] = value
        return handler(door, **all_)

    def arguments(self, door: DoorName) -> list[Parameter]:
        """Return what is given by position."""
        return [one for one in self.takes(door) if not one.spelled]

    def options(self, door: DoorName) -> list[Parameter]:
        """Return what is given by name."""
        return [one for one in self.takes(door) if one.spelled]

    def written(self, door: DoorName, *words: str) -> str:
        """Return it as it is typed at a door, with *words* behind it."""
        name = self.name(door) or ""
        begun = [] if name.startswith("%%") else [PROGRAMS[door]]
        return " ".join([*begun, name, *words]).strip()

    def short(self, door: DoorName) -> str:
        """Return how it is written, without its options."""
        words, optional = [], 0
        for one in self.arguments(door):
            optional += not one.required
            words.append(one.usage if one.required else f"[{one.usage}")
        return self.written(door, *words) + "]" * optional

    def usage(self, door: DoorName) -> str:
        """Return how it is written, in one line."""
        return " ".join([self.short(door), *(f"[{one.usage}]" for one in self.options(door))])


OF_SHARED: dict[Callable[..., Any], Callable[..., Any]] = {}
"""What does a command for an agent of somebody else's, by its handler; all others are for own agents alone."""

TABLE: list[Command] = []
"""All commands, as their modules are imported; `letta_kernel.commands` imports them all."""


def command(
    notebook: str | None,
    terminal: str | None,
    *,
    group: str,
    makes: bool = False,
    lists: bool = False,
) -> Callable[[Handler], Handler]:
    """Enter the decorated function into the table; `Command` says what is given.

    Its parameters behind the door are what the command takes, each with `Takes` for its default: who calls it
    gives them all. The first paragraph of its docstring is the help.
    """

    def enter(handler: Handler) -> Handler:
        TABLE.append(Command(notebook, terminal, group, handler, makes, lists))
        return handler

    return enter


def of_shared(handler: Callable[..., Any]) -> Callable[[Handler], Handler]:
    """Let the decorated function do for agents of others what *handler* does for own ones.

    It takes the same parameters.
    """

    def enter(other: Handler) -> Handler:
        OF_SHARED[handler] = other
        return other

    return enter


def offers(command: Command, one: Parameter) -> str:
    """Return the kind of words that may stand for a parameter: of agents, others' too where it takes those."""
    shared = one.takes.whose and command.handler in OF_SHARED
    return "any_agent" if shared else one.takes.values


def _parameters(handler: Callable[..., Any], door: DoorName) -> list[Parameter]:
    found = []
    module: dict[str, Any] = getattr(handler, "__globals__", {})
    for one in list(inspect.signature(handler).parameters.values())[1:]:
        takes = one.default
        if not isinstance(takes, Takes):
            raise TypeError(f"{handler.__qualname__}: {one.name} does not say how it is given.")
        written = takes.notebook if door == "notebook" else takes.terminal
        if written is None:
            continue
        own = f"--{one.name.rstrip('_').replace('_', '-')}"
        spelled = tuple(own if word == "--" else word for word in written.split())
        # An agent is named; the door finds it, or knows that there is none.
        type_ = str if takes.whose else one.annotation
        if isinstance(type_, str):
            type_ = eval(type_, module)
        required = takes.default is REQUIRED
        if takes.whose:
            required = door == "terminal" and not spelled
        default = None if takes.default is REQUIRED else takes.default
        kind = _kind(type_, takes)
        if kind == "flag":
            default = bool(default)
        required = required or takes.required == door
        found.append(Parameter(one.name, spelled, type_, kind, default, required, takes))
    # At a terminal the agent comes first, as in any sentence about it.
    return sorted(found, key=lambda one: not (one.takes.whose and door == "terminal"))


def _kind(type_: Any, takes: Takes) -> Kind:
    if isinstance(type_, types.UnionType):
        type_ = next(one for one in get_args(type_) if one is not types.NoneType)
    if get_origin(type_) is list:
        return "list"
    kinds: dict[Any, Kind] = {bool: "flag", int: "int", float: "float"}
    return kinds.get(type_, "text" if takes.free else "word")
