"""Variants of an agent: what differs between the columns of a comparison, and how it is put into a fork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, get_args

from letta_kernel.agent.settings import check_settings
from letta_kernel.agent.settings import shown as shown_settings
from letta_kernel.errors import InvalidInputError, nearest

ToolsOf = Literal["on", "memory", "off"]
OWN = "own"
"""Stands for what the agent has itself, among models and instructions."""
MOST_COLUMNS = 12
MOST_RUNS = 60
MOST_REPEATS = 20
_LONGEST_LABEL = 40  # characters of one part


@dataclass(frozen=True, slots=True)
class Variant:
    """One way for an agent to be; None is as it is.

    Attributes
    ----------
    agent : its name or id.
    memory : False: it sees none of its memory blocks, and no passages are placed beside the message.
    tools : ``memory``: only its memory tools; ``off``: none.
    settings : settings of the agent that are others.
    label : what tells it from the other variants; empty where there is one.
    """

    agent: str
    model: str | None = None
    instructions: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    memory: bool | None = None
    tools: ToolsOf | None = None
    label: str = ""


def variants(
    agents: Sequence[str],
    *,
    models: Sequence[str] = (),
    instructions: Sequence[str] = (),
    settings: Sequence[dict[str, Any]] = (),
    memory: Sequence[bool] = (),
    tools: Sequence[str] = (),
    most: int = MOST_COLUMNS,
    called: Callable[[str], str] = str,
) -> list[Variant]:
    """Return every combination of what is given, each once, the last one given changing quickest.

    Parameters
    ----------
    models, instructions : ``own`` stands for the agent's.
    most : how many there may be.
    called : returns an agent's name, for labels.

    Raises
    ------
    InvalidInputError
        A value is none, or there are too many combinations.
    """
    for one in tools:
        if one not in get_args(ToolsOf):
            raise InvalidInputError(f"Tools are on, memory or off, not {one!r}.")
    checked = [check_settings(one) for one in settings]
    given: list[Sequence[Any]] = [
        list(dict.fromkeys(agents)),
        list(dict.fromkeys(models)) or [None],
        list(dict.fromkeys(instructions)) or [None],
        [one for place, one in enumerate(checked) if one not in checked[:place]] or [{}],
        list(dict.fromkeys(memory)) or [None],
        list(dict.fromkeys(tools)) or [None],
    ]
    count = 1
    for values in given:
        count *= len(values)
    if count > most:
        shape = " × ".join(str(len(values)) for values in given if len(values) > 1)
        raise InvalidInputError(
            f"That makes {count} variants ({shape}); {most} can be compared: leave some out."
        )
    differs = [len(values) > 1 for values in given]
    found = []
    for combined in product(*given):
        agent, model, words, more, sees, offered = combined
        parts = [
            called(agent),
            model or OWN,
            words or OWN,
            ", ".join(f"{key}={value}" for key, value in shown_settings(more).items()) or "as set",
            f"memory {'off' if sees is False else 'on'}",
            f"tools {offered or 'on'}",
        ]
        label = " · ".join(_short(part) for part, told in zip(parts, differs, strict=True) if told)
        found.append(
            Variant(
                agent,
                None if model == OWN else model,
                None if words == OWN else words,
                more,
                sees,
                offered,
                label,
            )
        )
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"


def read_settings(text: str) -> dict[str, Any]:
    """Return the settings that ``name=value+name=value`` says, checked; ``own`` says none.

    Raises
    ------
    InvalidInputError
        It is written in another way, or there is no such setting or value.
    """
    if text.strip() == OWN:
        return {}
    found: dict[str, Any] = {}
    for part in text.split("+"):
        name, equals, value = (one.strip() for one in part.partition("="))
        if not equals or not name or not value:
            raise InvalidInputError(
                f"{text!r} is no setting: retrieval=off, or several as retrieval=off+temperature=0."
            )
        found[name] = {"on": True, "off": False}.get(value.lower(), value)
    if "environment" in found:
        raise InvalidInputError("The environment of tools is no setting that can be compared.")
    return check_settings(found)


def switches(given: Sequence[str], what: str) -> list[bool]:
    """Return ``on`` and ``off`` as truth; *what* they are of begins the error's line."""
    known = {"on": True, "off": False}
    for one in given:
        if one not in known:
            raise InvalidInputError(f"{what} is on or off, not {one!r}.{nearest(one, [*known])}")
    return [known[one] for one in given]
