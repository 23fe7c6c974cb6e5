"""What an experiment is made of: cases, variants, and what came of one case with one variant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from letta_kernel import ids
from letta_kernel.errors import InvalidInputError
from letta_kernel.tools.arguments import described

MAX_MESSAGES = 200
"""Messages of one case."""
_NAME = 120  # characters of a name


class Part(BaseModel):
    """A part of an experiment as a file has it: it does not change, and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Case(Part):
    """What is said to an agent, and what should come of it.

    Attributes
    ----------
    id : its name; no two cases of a data set have the same.
    messages : said one after the other; each waits for the answer to the one before.
    expected : what the answer should be, for graders that name nothing else.
    blocks, passages : memory that the agent begins with: blocks by their labels, texts in its archive.
    graders : the case's own, as dictionaries with a ``kind``; without any the experiment's count.
    category : what it is counted under, beside all.
    dialogue, evidence : the conversation that the agent knows, and the ids of its turns that hold the answer.
    """

    id: str = Field(min_length=1, max_length=_NAME)
    messages: list[str] = Field(min_length=1, max_length=MAX_MESSAGES)
    expected: Any = None
    blocks: dict[str, str] = {}
    passages: list[str] = []
    graders: list[dict[str, Any]] = []
    category: str = ""
    dialogue: str = ""
    evidence: list[str] = []

    @field_validator("messages")
    @classmethod
    def _something_is_said(cls, given: list[str]) -> list[str]:
        if any(not one.strip() for one in given):
            raise ValueError("has an empty message")
        return given


class Variant(Part):
    """How the agents of one column of an experiment are made; what is not given is as usual.

    Attributes
    ----------
    name : what the column is called.
    model, embedding, style, instructions, max_steps, settings : as for any agent; retrieval is two settings,
        ``retrieval`` and ``retrieval_budget``.
    blocks : memory blocks it begins with; those of a case come over them.
    core_tools : the memory tools it has; the usual ones if not given.
    tools : further tools, by the names they have in the project; in Python also functions.
    without_tools : names of tools that are taken away.
    top_k : how many passages a search returns, in experiments that only search.
    """

    name: str = Field("agent", min_length=1, max_length=_NAME)
    model: str | None = None
    embedding: str | None = None
    style: Literal["native", "heartbeat"] | None = None
    instructions: str | None = None
    max_steps: int | None = Field(None, ge=1, le=1000)
    settings: dict[str, Any] = {}
    blocks: dict[str, str] = {}
    core_tools: list[str] | None = None
    tools: list[Any] = []
    without_tools: list[str] = []
    top_k: int = Field(10, ge=1, le=1000)

    @field_validator("tools")
    @classmethod
    def _names_or_functions(cls, given: list[Any]) -> list[Any]:
        if any(not isinstance(one, str) and not callable(one) for one in given):
            raise ValueError("holds names of tools or functions")
        return given

    def described(self) -> dict[str, Any]:
        """Return what it is, without its name, as JSON."""
        data = self.model_dump(exclude={"name", "tools"})
        return {
            **data,
            "tools": [one if isinstance(one, str) else source(one) for one in self.tools],
        }


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool: its arguments as JSON values (None if they were none), and how it ended."""

    name: str
    arguments: dict[str, Any] | None
    status: str = ""
    result: str = ""
    turn: int = 0  # which message it came after, the first is 0


@dataclass(slots=True)
class Outcome:
    """What came of one case: what graders judge, and what is kept.

    Attributes
    ----------
    case : the case.
    answers : the last answer to each message, in order.
    calls : every call of a tool.
    before, after : the blocks' texts, by label, as they were when the first message came and at the end.
    kept : the texts of passages that came into the archive meanwhile; ``gone`` how many went.
    found : in experiments that only search: the ids of what was found, best first.
    error : why it did not come to its end; empty if it did.
    figures : ``steps``, ``prompt_tokens``, ``completion_tokens``, ``cost`` (US dollars, None if unknown),
        ``seconds``.
    """

    case: Case
    answers: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    gone: int = 0
    found: list[str] = field(default_factory=list)
    error: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The last answer; empty if there was none."""
        return self.answers[-1] if self.answers else ""

    def called(self, name: str) -> list[Call]:
        """Return the calls of a tool."""
        return [one for one in self.calls if one.name == name]


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader says: a score from 0 to 1, whether that is enough, and why.

    ``broken`` says that it could not judge: then it has not passed.
    """

    score: float
    passed: bool
    reason: str = ""
    name: str = ""
    broken: bool = False


def one_of(model: type[Any], given: Any, what: str) -> Any:
    """Return *given* as a `Part`; *what* it is begins the line of the error.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        try:
            problems = described(given, error)
        except (TypeError, ValueError):  # what JSON cannot hold
            problems = [one["msg"] for one in error.errors(include_url=False)]
        raise InvalidInputError(f"{what}: {'; '.join(problems[:3])}.") from None


def digest(value: Any) -> str:
    """Return what tells *value*, which JSON can hold, from others."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return ids.digest(text, 20)


def source(function: Any) -> str:
    """Return what tells a function from others: its source where there is one, else its name."""
    import inspect

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return (
            f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
        )


def unique(names: Sequence[str], what: str) -> None:
    """Raise `InvalidInputError` where a name stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInputError(f"Two {what} are called {name!r}: rename one.")
        seen.add(name)


def flat(value: Mapping[str, Any], path: str) -> Any:
    """Return what lies in *value* under a dotted *path*, such as ``person.names.0``.

    Raises
    ------
    KeyError
        Nothing does.
    """
    found: Any = value
    for step in path.split("."):
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            raise KeyError(path)
    return found
