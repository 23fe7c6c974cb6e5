"""Which model answers, what there is, and the settings of an agent."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import AGENT, YES, Answer, Door, Notebook, Rows, Terminal, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.remedies import Do, remedy

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

GROUP = "Model and settings"

# What is changed on the agent itself; everything else is a setting of the model or the run.
FIELDS = ("name", "description", "model", "embedding", "style", "instructions", "max_steps", "tags")
_NONE = ("none", "default", "null")


def setting_names() -> list[str]:
    """Return all that can be set."""
    from letta_kernel.agent.settings import AgentSettings

    return [*FIELDS, *AgentSettings.model_fields]


@command("model", None, group=GROUP, lists=True)
def model(
    door: Notebook,
    name: str | None = argument(
        "The model that answers from now on; default leaves it to each run", None, values="model"
    ),
    agent: str | None = option("An agent other than the current one", values="agent"),
) -> Answer:
    """Show which model answers, and what there is; choose another."""
    from letta_kernel.display.panels import models_table
    from letta_kernel.models import keys
    from letta_kernel.models.registry import available  # asks local servers: only when wanted

    if name is not None:
        return choose_model(door, door.agent(agent), name)
    whose = door.agent(agent) if agent is not None or door.current() is not None else None
    now = door.service.runs.model_of(whose.id) if whose else None
    found = [{"name": one.name, "note": one.said(door.words)} for one in available()]
    held = [f"{variable} ({place})" for variable, place in keys.found().items()]
    there = f" There is: {', '.join(held)}." if held else ""
    said = (
        f"Keys are taken from {', then '.join(keys.places())}.{there} The Agents panel has a field for one; "
        "no cell should hold one."
    )
    door.show(models_table(found, now))
    for problem in keys.problems():
        door.say(problem, "warning")
    return Answer(said)


@command(None, "model list", group=GROUP)
def list_models(
    door: Terminal,
    every: bool = option("Those too that are not set up, and how to", terminal="--all"),
) -> Answer:
    """List the models this machine can use, the one chosen by default first."""
    from letta_kernel.models.registry import available

    found = [one for one in available() if one.usable or every]
    rows = [
        [
            one.name,
            "default" if one.chosen else "" if one.usable else "not set up",
            one.said(door.words),
        ]
        for one in found
    ]
    data = [one.as_dict(door.words) for one in found]
    return Answer(data=data, rows=lambda: Rows(["model", "", "how"], rows))


@command(None, "model set", group=GROUP)
def choose_model(
    door: Door,
    agent: AgentState = AGENT,
    model: str = argument("Its name, or 'auto' to choose at each run", values="model"),
) -> Answer:
    """Say which model an agent uses."""
    chosen = None if model.lower() in (*_NONE, "auto") else model
    changed = door.service.agents.update(agent.id, model=chosen)
    answering = door.service.runs.model_of(agent.id)
    return Answer(
        f"{changed.name} answers with {answering} from now on.",
        {"agent": agent.id, "model": answering},
        notes=door.service.agents.doubts(changed),
    )


@command(None, "model key", group=GROUP)
def key(
    door: Terminal,
    variable: str | None = argument(
        "Whose key, such as OPENAI_API_KEY; without it, the list", None
    ),
) -> Answer:
    """Keep a provider's key, asked for without showing it (or read from a pipe), or list where keys are."""
    from letta_kernel.models import keys

    if variable is None:
        found, problems = keys.found(), keys.problems()
        return Answer(
            data={"places": keys.places(), "found": found, "problems": problems},
            rows=lambda: Rows(["key", "from"], [*found.items()] or [("", "none yet")]),
            notes=problems,
        )
    if variable not in keys.KNOWN:
        keys.keep(variable, "", door.home)  # says what is near
    place = keys.keep(variable, door.secret(variable), door.home)
    return Answer(f"{variable} is in {place}.", {"variable": variable, "place": place})


@command("model get", "model get", group=GROUP)
def get(
    door: Door,
    name: str | None = argument("One of the list; without it, the list", None, values="download"),
    yes: bool = YES,
) -> Answer:
    """Download a language model that runs in this process; without a name, list them."""
    from letta_kernel.display.tables import table
    from letta_kernel.models.plugins import download, downloaded, offers, shown_size

    if name is None:
        here, listed = set(downloaded()), offers()
        rows = [
            [one.name, one.size, one.licence, m in here, one.about] for m, one in listed.items()
        ]
        cells = [
            [m, one.size, one.licence, "here" if m in here else one.about]
            for m, one in listed.items()
        ]
        columns = ["model", "size", "licence", "here", "about"]
        return Answer(
            data=[{**asdict(one), "here": m in here} for m, one in listed.items()],
            panel=lambda: table(
                ["model", "size", "licence", "about"], cells, title="%agent model get NAME"
            ),
            rows=lambda: Rows(columns, rows),
        )
    with door.progress() as draw:
        whole, path = download(
            name,
            confirm=lambda question: door.confirmed(question, yes),
            progress=lambda done, total: draw(
                done / total, f"{name}: {shown_size(done)} of {shown_size(total)}"
            ),
        )
    said = f"{whole} is here: {how(door, 'model', whole) if door.at == 'notebook' else path}"
    return Answer(
        f"{said} uses it." if door.at == "notebook" else said, {"model": whole, "path": path}
    )


@command("set", "agent set", group=GROUP, lists=True)
def set_value(
    door: Door,
    agent: AgentState = AGENT,
    key: str | None = argument("The setting; without it, all are shown", None, values="setting"),
    value: str | None = argument("What it is to be; default takes it back", None, free=True),
) -> Answer:
    """Change a setting; without a key, show them all."""
    from letta_kernel.agent.settings import shown

    if key is None:
        return _settings(agent)
    key = key.replace("-", "_")
    known = setting_names()
    if key not in known:
        raise InvalidInputError(f"There is no setting {key!r}.{nearest(key, known)}")
    if value is None:
        line = how(door, "set", key, "VALUE", agent=agent)
        raise InvalidInputError(f"{key} needs a value: {line} (or 'default').")
    if key in FIELDS:
        changes = {key: _field(key, value)}
    else:
        environment = _environment(door, value, agent) if key == "environment" else None
        changes = {"settings": {key: _typed(value) if environment is None else environment}}
    changed = door.service.agents.update(agent.id, **changes)
    notes = (
        door.service.agents.doubts(changed) if key in ("model", "embedding", "fallbacks") else []
    )
    values = shown(changed.settings)
    if key in FIELDS:
        said = f"{changed.name}: {key} is {_in_words(getattr(changed, key))} now."
    elif key in values:
        said = f"{changed.name}: {key} is {_in_words(values[key])} now."
    else:
        said, notes = f"{changed.name}: {key} is back at its default.", []
    return Answer(said, changed, notes=notes)


def _settings(agent: AgentState) -> Answer:
    from letta_kernel.agent.settings import AgentSettings, shown
    from letta_kernel.display.tables import table

    rows: list[list[object]] = []
    for name in FIELDS:
        value = getattr(agent, name)
        rows.append(
            [name, textwrap.shorten(str(value), 200) if value not in (None, "") else "", ""]
        )
    values = shown(agent.settings)
    for name, field in AgentSettings.model_fields.items():
        value = values.get(name, "")
        if isinstance(value, list):
            value = _in_words(value)
        rows.append([name, value, field.description or ""])
    data = {name: getattr(agent, name) for name in FIELDS} | values
    title = f"Settings of {agent.name}"
    return Answer(
        data=data, panel=lambda: table(["setting", "value", "what it is"], rows, title=title)
    )


def _in_words(value: Any) -> str:
    return (", ".join(map(str, value)) or "empty") if isinstance(value, list) else repr(value)


def _field(key: str, value: str) -> Any:
    if key in ("model", "embedding") and value.lower() in _NONE:
        return None
    if key == "max_steps":
        try:
            return int(value)
        except ValueError:
            raise InvalidInputError(f"max_steps is a whole number, not {value!r}.") from None
    if key == "tags":
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return "" if value.lower() == "default" and key != "name" else value


def _environment(door: Door, text: str, agent: AgentState) -> Any:
    """Read ``NAME=value`` or ``NAME``, to be added to the variables there are; None takes those back."""
    if text.lower() in _NONE:
        return None
    name, equals, value = text.partition("=")
    if not equals and name.isidentifier():
        value = _secret(door, name)
    elif door.at == "terminal":
        if text != "-":
            ask = how(door, "set", "environment", "NAME", agent=agent)
            raise InvalidInputError(
                f"Other users of this machine can read the words of a command: {ask} asks for the value, or "
                "takes it from the pipe."
            )
        text = door.text(text).strip()
        name, equals, value = text.partition("=")
        if not name.isidentifier():
            return _typed(text)
    elif not equals or not name.isidentifier():
        return _typed(text)
    return {**agent.settings.get("environment", {}), name: value}


def _secret(door: Door, name: str) -> str:
    """Return the value of a variable that was only named: a terminal asks for it, a notebook has it."""
    if door.at == "terminal":
        return door.secret(name).rstrip("\r\n")  # type: ignore[attr-defined]
    if not (value := os.environ.get(name)):
        raise InvalidInputError(f"{name} is not set here.", remedy(Do.SET_SECRET, name))
    return value


def _typed(value: str) -> Any:
    """Return a setting's value: JSON where it is JSON, a list where it has commas, else text."""
    if value.lower() in _NONE:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return [part.strip() for part in value.split(",")] if "," in value else value
