"""What a panel may ask a kernel: each question's name, the parameters it takes, what answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session
    from letta_kernel.service import AgentService

MOST = 500  # entries one answer may have

Text = Annotated[str, StringConstraints(max_length=5_000_000)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Limit = Annotated[int, Field(ge=1, le=MOST)]


class Params(BaseModel):
    """Parameters of a question; unknown ones and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OfAgent(Params):
    """A question about one agent, by name or id."""

    agent: Word


class OfBlock(OfAgent):
    """A question about one memory block of an agent."""

    label: Word


@dataclass(frozen=True, slots=True)
class Room:
    """Where a question is answered: the project, and in a kernel the session of its notebook."""

    service: AgentService
    session: Session | None = None

    @property
    def notebook(self) -> str:
        """Which notebook this is; empty where there is none, or nothing says."""
        return self.session.notebook if self.session is not None else ""

    def current(self) -> str | None:
        """Return the id of the agent the notebook talks to, if there is one."""
        agent = self.session.current() if self.session is not None else None
        return agent.id if agent is not None else None


@dataclass(frozen=True, slots=True)
class Method:
    """One question; ``empty`` is its answer in a folder that holds no project yet, if it has one."""

    params: type[Params]
    handler: Callable[[Room, Any], Any]
    empty: Any = None


METHODS: dict[str, Method] = {}

P = TypeVar("P", bound=Params)
Handler = Callable[[Room, P], Any]


def method(
    name: str,
    params: type[P] = Params,  # type: ignore[assignment]
    *,
    empty: Any = None,
) -> Callable[[Handler[P]], Handler[P]]:
    """Register the decorated function as what answers *name*.

    It gets the room and the validated parameters, and returns JSON-ready values, records or lists of them.
    """

    def register(handler: Handler[P]) -> Handler[P]:
        METHODS[name] = Method(params, handler, empty)
        return handler

    return register
