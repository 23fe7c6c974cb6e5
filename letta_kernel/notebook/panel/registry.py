"""What a panel may ask a kernel: each method's name, the parameters it takes, what answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from letta_kernel.commands.door import Notebook
from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.approvals import Approvals
from letta_kernel.notebook.debugger import Debugging
from letta_kernel.notebook.document import FrontEnds
from letta_kernel.notebook.document.grants import Grants
from letta_kernel.notebook.main_thread import MainThreadQueue
from letta_kernel.notebook.panel.shared_runs import SIGN, SharedRuns
from letta_kernel.pictures.picture import Picture
from letta_kernel.service import AgentService, Decision
from letta_kernel.tools.execute import ToolHost

MOST = 500  # entries one answer may have

Text = Annotated[str, StringConstraints(max_length=5_000_000)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Limit = Annotated[int, Field(ge=1, le=MOST)]


class Params(BaseModel):
    """Parameters of a request; unknown ones and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OfAgent(Params):
    """A request about one agent, by name or id."""

    agent: Word


class OfBlock(OfAgent):
    """A request about one memory block of an agent."""

    label: Word


class PanelHost(Protocol):
    """What panels are connected to: a kernel, or a server for one project."""

    approvals: Approvals
    front_ends: FrontEnds
    shared_runs: SharedRuns
    agent_changed: Callable[[], None]
    last_error: str

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    @property
    def home(self) -> Path:
        """The project folder, which may not be there yet."""

    @property
    def has_project(self) -> bool:
        """Whether it holds a project."""

    def context(self, page: str) -> RequestContext:
        """Return where requests of a page, named by its connection, are answered."""


class Kernel(Notebook, Protocol):
    """A notebook with its kernel, in which requests are answered."""

    approvals: Approvals
    main_thread: MainThreadQueue
    grants: Grants
    debugger: Debugging

    @property
    def host(self) -> ToolHost:
        """Where the notebook's functions are found."""

    def host_of(self, agent_id: str) -> ToolHost:
        """Return where the functions behind an agent's tools are found."""

    def notebook_call(
        self, tool: str, arguments: dict[str, Any], agent_id: str, run_id: str
    ) -> dict[str, Any]:
        """Carry out a call of a notebook tool for an agent that talks elsewhere; return its outcome."""

    def names(self, begun: str) -> list[dict[str, str]]:
        """Return the ``@names`` that begin like that, with what they are."""

    def talk(
        self, agent_id: str, text: str, pictures: Sequence[Picture], conversation: str | None
    ) -> None:
        """Send a message to an agent without a cell."""

    def resume(
        self, agent_id: str, decisions: Sequence[Decision], conversation: str | None
    ) -> None:
        """Go on, without a cell, with a run that waited for approval."""


class Begun(Protocol):
    """A run that goes on by itself."""

    id: str


class Background(Protocol):
    """A server, whose runs go on by themselves."""

    def start(
        self,
        agent_ref: str,
        message: str | Sequence[Decision],
        *,
        conversation: str | None,
        wait: bool,
        **options: Any,
    ) -> Begun:
        """Send a message, or go on with a run that waited for approval."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Where a request is answered: the project, in a kernel its notebook, and in a server what runs there.

    ``shared`` are runs of other people's agents.
    """

    service: AgentService
    kernel: Kernel | None = None
    background: Background | None = None
    shared: SharedRuns = field(default_factory=SharedRuns)

    @property
    def notebook(self) -> str:
        """Which notebook this is; empty where there is none, or nothing says."""
        return self.kernel.notebook if self.kernel is not None else ""

    def current(self) -> str | None:
        """Return the id of the agent the notebook talks to, if there is one."""
        agent = self.kernel.current() if self.kernel is not None else None
        return agent.id if agent is not None else None

    def talked_to(self) -> str | None:
        """Return what the panel knows the agent by that cells talk to, somebody else's too."""
        other = self.kernel.shared(None) if self.kernel is not None else None
        return SIGN + other.ref if other is not None else self.current()

    def here(self) -> Kernel:
        """Return the kernel; `InvalidInputError` where there is none."""
        if self.kernel is None:
            raise InvalidInputError("This needs the kernel of a notebook.")
        return self.kernel


@dataclass(frozen=True, slots=True)
class Method:
    """One method; ``empty`` is its answer in a folder that holds no project yet, if it has one."""

    params: type[Params]
    handler: Callable[[RequestContext, Any], Any]
    empty: Any = None


METHODS: dict[str, Method] = {}

P = TypeVar("P", bound=Params)
Handler = Callable[[RequestContext, P], Any]


def method(
    name: str,
    params: type[P] = Params,  # type: ignore[assignment]
    *,
    empty: Any = None,
) -> Callable[[Handler[P]], Handler[P]]:
    """Register the decorated function as what answers *name*.

    It gets the context and the validated parameters, and returns JSON-ready values, records or lists of them.
    """

    def register(handler: Handler[P]) -> Handler[P]:
        METHODS[name] = Method(params, handler, empty)
        return handler

    return register
