"""What the Python interface says to do about an error: calls."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from letta_kernel import installed
from letta_kernel.errors import LettaError
from letta_kernel.remedies import KEYS_LIVE, Do, Words, quoted

WORDS: Words = {
    Do.MAKE_AGENT: "make one: Agent({0!r})",
    Do.CHOOSE_MODEL: "choose another model: Agent(NAME, model=…)",
    Do.LIST_MODELS: "letta_kernel.models.registry.available() tells what can be used",
    Do.GET_MODEL: (
        "download it: letta_kernel.models.plugins.download({0!r}, confirm=lambda question: True)"
    ),
    Do.SET_KEY: f"put {{0}} into {KEYS_LIVE} (letta_kernel.models.keys.keep)",
    Do.SET_VARIABLE: "set it: os.environ[{0!r}] = …",
    Do.SET_SECRET: ("set it: os.environ[{0!r}] = getpass.getpass()"),
    Do.RAISE_BUDGET: "raise it: Agent(NAME, settings={{{0!r}: NUMBER}})",
    Do.DECIDE_CALLS: "decide first: agent.service.runs.approve(agent.id, [Decision(CALL_ID, approve=…)])",
    Do.ALLOW_SKILLS: "look at them (agent.service.skills.list()) and allow them: agent.service.skills.allow()",
    Do.ADD_MCP_SERVER: "add it: agent.service.mcp.create(NAME, …)",
    Do.REFER_IN_ENVIRONMENT: "set os.environ[{0!r}] and give '${{{0}}}' as its value",
    Do.REFER_IN_HEADER: "put it into os.environ and write '${{NAME}}' in the header {0}",
    Do.INSTALL_EXTRA: lambda extra: f"install what it needs: {installed.extra(extra)}",
    Do.INSTALL_PACKAGES: lambda *wanted: (
        f"install it: {installed.pip()} --upgrade {quoted(*wanted)}"
    ),
    Do.UPDATE: lambda: f"get a newer one: {installed.renew()}",
    Do.REPLACE_FILE: "pass replace=True",
    Do.CHECK_STORE: "see what can be saved: AgentService(HOME).store.check()",
    Do.REVIEW_MEMORY: "accept or reject them: agent.service.sleeptime.review.accept(agent.id)",
    Do.UNDO_SLEEP: "agent.service.sleeptime.review.undo(agent.id) takes it back",
    Do.SEE_TIMELINE: "agent.timeline has them",
    Do.RETURN_TO: "agent.rewind({0!r}) returns to that end, and keeps this one",
    Do.FORK_FROM: "fork from there: agent.fork(NAME, at={0!r})",
    Do.READ_PAGE: "letta-kernel help {0}",
}

T = TypeVar("T", bound=type)


def speaks_python(cls: T) -> T:
    """Let errors that leave a class's public methods and properties say what to do in Python."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, property):
            setattr(cls, name, property(in_python(value.fget)))
        elif inspect.isfunction(value) and (not name.startswith("_") or name in _CALLED):
            setattr(cls, name, in_python(value))
    return cls


_CALLED = (
    "__init__",
    "__setattr__",
    "__getitem__",
    "__setitem__",
    "__delitem__",
    "__iter__",
    "__len__",
)


def in_python(function: Any) -> Any:
    """Let errors that leave a function say what to do in Python."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except LettaError as error:
            error.words = WORDS
            raise

    return run
