"""What is told of one step: its request, what each part took, what was looked at, said, done and changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(slots=True)
class PartCost:
    """What one part of a request took.

    ``tokens`` is an estimate, ``real`` its share of the prompt tokens that the provider counted, ``cost`` of
    what these cost in US dollars; None where that is not known. ``kind`` is as in `service.rebuild.Piece`; of a
    block, ``step_id`` is the step that wrote what stood there.
    """

    kind: str
    name: str
    tokens: int
    text: str
    real: int | None = None
    cost: float | None = None
    block_id: str = ""
    version: int | None = None
    step_id: str | None = None


@dataclass(slots=True)
class Looked:
    """A passage that retrieval looked at.

    ``outcome`` is shown, budget (it matched, and there was no room) or weak (it did not match well enough);
    ``scores`` has what each part added to its rank (`letta_kernel.memory.scoring.PARTS`). ``text`` is what the
    passage said then, None if it is gone.
    """

    id: str
    outcome: Literal["shown", "budget", "weak"]
    relevance: float
    scores: dict[str, float]
    text: str | None = None
    n: int | None = None


@dataclass(slots=True)
class Made:
    """A call that the model made: its arguments as they were taken; ``raw`` as it wrote them, if otherwise."""

    id: str
    name: str
    arguments: str
    raw: str | None = None
    status: str | None = None  # None: nothing came of it yet
    result: str = ""
    seconds: float | None = None


@dataclass(slots=True)
class BlockChange:
    """A version of a memory block that was written in the step, and what stood there before."""

    block_id: str
    label: str
    version: int
    before: str
    after: str
    how: str


@dataclass(slots=True)
class KeptPassage:
    """A passage that was kept in the step."""

    id: str
    text: str


@dataclass(slots=True)
class Explanation:
    """One step, explained.

    ``exact`` says whether the request is, byte for byte, what went out (None: nobody knows); ``missing`` has a
    line for each thing that is not known any more. ``body`` is the request as it went over the wire, None
    where a provider's library made it; ``messages`` and ``tools`` are what it was made of. ``raw`` is the
    model's text where calls were read out of it. ``edits`` is what a person changed of the step by hand
    (`letta_kernel.messages.Edit`).
    """

    step_id: str
    run_id: str
    agent_id: str
    agent: str
    number: int
    created_at: datetime
    model: str
    conversation_id: str | None = None
    exact: bool | None = None
    missing: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    response_format: dict[str, Any] | None = None
    body: str | None = None
    window: dict[str, Any] = field(default_factory=dict)
    shortened: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, Any] = field(default_factory=dict)
    parts: list[PartCost] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    seconds: float | None = None
    considered: list[Looked] = field(default_factory=list)
    said: str = ""
    reasoning: str = ""
    raw: str | None = None
    calls: list[Made] = field(default_factory=list)
    changes: list[BlockChange] = field(default_factory=list)
    kept: list[KeptPassage] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    error: str | None = None

    def data(self) -> dict[str, Any]:
        """Return all of it as a dict."""
        return asdict(self)


@dataclass(slots=True)
class Reason:
    """Why words stand in a memory block: the sentence, and the step and message that brought it in.

    ``version`` is the block's that has it first; ``step_id`` None where a person wrote it, or nobody recorded.
    """

    label: str
    text: str
    origin: str
    version: int | None = None
    step_id: str | None = None
    run_id: str | None = None
    message: str = ""
    at: datetime | None = None
