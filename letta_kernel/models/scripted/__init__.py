"""A model whose answers are written down: for lessons, notebooks and tests, joined as ``scripted``."""

from __future__ import annotations

import re

from letta_kernel.errors import InvalidInputError
from letta_kernel.models.base import ChatModel
from letta_kernel.models.plugins import ModelInfo, ModelProvider
from letta_kernel.models.scripted.model import SCRIPTS, ScriptedModel
from letta_kernel.models.scripted.moves import Script, parse
from letta_kernel.models.tokens import estimate

_NAME = re.compile(r"[^\W\d][\w-]*")


class Scripted(ModelProvider):
    """``scripted/NAME`` plays the script of that name, ``scripted`` the newest."""

    here = True

    def open(self, name: str) -> ChatModel:
        """Return the model that plays a script; the script may be written later."""
        return ScriptedModel(name)

    def models(self) -> list[ModelInfo]:
        """Return the scripts of this process, or how to write one."""
        found = [
            ModelInfo(
                f"scripted/{one.name}", True, f"a script of {counted(one)}; no language model"
            )
            for one in SCRIPTS.all()
        ]
        how = "answers written in a cell: see %%script?"
        return found or [ModelInfo("scripted/NAME", False, how)]

    def context_window(self, name: str) -> int:
        """Return the window, the same for all scripts."""
        return ScriptedModel.context_window

    def count_tokens(self, text: str) -> int:
        """Return an estimate."""
        return estimate(text)


def scripted(moves: str, name: str = "script", *, first_line: int = 1) -> str:
    """Write down what a model says, and return the name of the model that says it.

    Each paragraph is one answer of the model, each line one move of it:

    ====================================  =====================================================
    ``say: words``                        the answer; ``stream: words`` gives it word by word,
                                          ``stream 0.2: words`` with so many seconds between
    ``call: name(argument="value")``      a tool call; ``call: name {…}`` sends arguments as written
    ``think: words``                      reasoning, before the answer
    ``wait: 2``                           seconds in which nothing comes
    ``fail: words``                       the call fails; ``fail rate_limit: words`` says how
    ``expect last contains: words``       a check of what the model is sent, before it answers: of the
                                          ``last`` message, the ``system`` prompt or the whole
                                          ``conversation``; ``contains`` or ``lacks``
    ``expect tools include: name``        which tools it is offered
    ====================================  =====================================================

    A line that begins with ``#`` is a comment; an indented line goes on with the one above. What follows a call
    begins another answer, for its result comes between. A check that fails ends the run with a line that says
    what was expected and what came.

    The script is kept in this process and nowhere else, and every agent has its own place in it, which is the
    beginning again when the script is written again or the kernel restarts: so Restart & Run All works.

    Parameters
    ----------
    moves : the script.
    name : of the script: a letter, then letters, digits, ``_`` and ``-``.
    first_line : the number of the first line, for errors.

    Returns
    -------
    str
        ``scripted/NAME``, for ``Agent("ada", model=…)`` or ``%agent model``.

    Raises
    ------
    InvalidInputError
        The name or a line is wrong, in one line that names it. An earlier script of that name stays.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name[:60]!r} is no name for a script: a letter, then letters, digits, _ and -."
        )
    SCRIPTS.put(parse(moves, name, first_line))
    return f"scripted/{name}"


def counted(script: Script) -> str:
    """Return how many answers a script has, in words."""
    return "1 answer" if len(script.answers) == 1 else f"{len(script.answers)} answers"


def script_names() -> list[str]:
    """Return the names of the scripts of this process."""
    return [script.name for script in SCRIPTS.all()]
