"""Whose agents a server has, and where a reference becomes an agent: the one place where grants are looked up.

A reference is an agent's id, or ``owner/name`` for an agent of another person. What it leads to is a project
and, where that is another person's, a grant, with which the request goes on as with a token of that one agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from letta_kernel import users
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.records import AccessToken, AgentState, Grant, Run, Use
from letta_kernel.service import AgentService
from letta_kernel.service.people import People
from letta_kernel.service.quotas import Quotas


class Project(Protocol):
    """A project that is served (`letta_kernel.server.events.runs.Project`)."""

    service: AgentService


@dataclass(frozen=True, slots=True)
class Reach:
    """What a request is about: a project, its owner, and the grant if that is another person."""

    project: Project
    owner: str
    grant: Grant | None = None
    name: str = ""  # of the agent that is granted


@dataclass(frozen=True, slots=True)
class Shared:
    """An agent that another person has granted, as lists show it."""

    owner: str
    grant: Grant
    state: AgentState

    @property
    def name(self) -> str:
        """What the guest calls it."""
        return f"{self.owner}/{self.state.name}"


Owned = Callable[[AgentService, Grant], bool]
"""Whether what a request names is of the agent that is granted."""


class Directory:
    """The one project of a server: of the person who started it."""

    def __init__(self, project: Project | None) -> None:
        self._project = project
        self.people: People | None = None  # the registry of persons, if there are several
        self.bounds: People | None = None  # what persons may use up
        self.owner = users.person_in_front()
        if project is not None:
            self.bounds = project.service.people
            quotas = Quotas(self.bounds, self.owner, self.found, everyone=False)
            project.service.runs.admit(quotas)

    @property
    def registry(self) -> AgentService | None:
        """Where tokens and persons are, if that is no project."""
        return None

    def home(self, user: str | None) -> Project | None:
        """Return the project of a person's own; None: they are a guest here. ``None`` stands for the owner."""
        return self._project if user is None or user == self.owner else None

    def keep(self, project: Project) -> Callable[[], None]:
        """Keep a project open until what is returned is called."""
        return lambda: None

    def refresh(self) -> None:
        """Read who there is, and what they grant, anew the next time that is asked for."""

    def drain(self) -> Sequence[Any]:
        """Let no run begin any more in what is opened from now on; return the projects that are open."""
        return ()

    def close(self) -> None:
        """Let go of what this has opened."""

    def owner_for(self, user: str | None) -> str:
        """Return whose project `home` is."""
        return self.owner

    def of(self, owner: str) -> Project | None:
        """Return the project of *owner*; None if there is none."""
        return self._project if owner == self.owner else None

    def shared(self, user: str) -> list[Shared]:
        """Return what others have granted to *user*."""
        return self._shared_by(self.owner, user)

    def found(self, use: Use) -> Run | None:
        """Return a run as its project has it; None if it has none."""
        project = self._project or self.of(use.owner)
        if project is None:
            return None
        try:
            return project.service.runs.retrieve(use.id)
        except NotFoundError:
            return None

    def reach(self, user: str | None, refs: Sequence[str], owned: Owned | None) -> Reach | None:
        """Return what a request of *user* is about.

        Parameters
        ----------
        refs : agents that the request names, by id or ``owner/name``; all have to lead to one.
        owned : tells of what else the path names, such as a run, whether it is of a granted agent; None: it
            names nothing else, or what is the user's own.

        Returns
        -------
        Reach | None
            None: it names nothing, and the user has no project of their own here.

        Raises
        ------
        NotFoundError
            Nothing of that name is there, or nothing is granted of it; the text does not tell which.
        InvalidInputError
            Several granted agents have that name.
        """
        home = self.home(user)
        if user is None:
            return None if home is None else Reach(home, self.owner_for(None))
        own = None if home is None else Reach(home, self.owner_for(user))
        for ref in refs:
            owner, slash, name = ref.partition("/")
            if own is not None and ((slash and owner == own.owner) or _is_there(own.project, ref)):
                return own
            if slash:
                return self._granted(user, owner, name, ref)
            for one in self.shared(user):
                if one.state.id == ref:
                    return self._granted(user, one.owner, ref, ref)
            if own is None:
                raise _nobody(ref)
        if owned is not None and not refs:
            for one in self.shared(user):
                with suppress(LettaError):
                    found = self._granted(user, one.owner, one.state.id, "")
                    if found.grant is not None and owned(found.project.service, found.grant):
                        return found
        return own

    def grants_of(self, owner: str) -> list[Grant]:
        """Return what a person has granted; nothing of who is none any more."""
        project = self.of(owner)
        return project.service.grants.list() if project is not None else []

    def _granted(self, user: str, owner: str, name: str, ref: str) -> Reach:
        project = self.of(owner)
        found = project.service.grants.granted(user) if project is not None else []
        wanted = [(grant, one) for grant, one in found if name in (one.id, one.name)]
        if project is None or not wanted:
            raise _nobody(ref)
        if len(wanted) > 1:
            ids = ", ".join(one.id for _, one in wanted)
            raise InvalidInputError(f"Several agents are called {ref!r:.200}; name one: {ids}.")
        return Reach(project, owner, wanted[0][0], wanted[0][1].name)

    def _shared_by(self, owner: str, user: str) -> list[Shared]:
        project = self.of(owner)
        if project is None or user == owner:
            return []
        return [Shared(owner, *one) for one in project.service.grants.granted(user)]

    def token(self, token: AccessToken) -> users.Actor:
        """Return in whose name a request with *token* acts, before it is known what it is about."""
        name = token.user or self.owner
        return users.Actor(name, self.owner_for(token.user))


def _is_there(project: Project, ref: str) -> bool:
    with suppress(LettaError):
        project.service.agents.retrieve(ref, newest=True)
        return True
    return False


def _nobody(ref: str) -> NotFoundError:
    return NotFoundError(f"There is no agent {ref!r:.200}.")


def refs_in(path: dict[str, Any], query: Sequence[tuple[str, str]], body: Any) -> list[str]:
    """Return the agents that a request names, in its path, its query or its body.

    OpenAI's clients call an agent a model; no other request that names a model reaches here with one.
    """
    found = [value for name, value in path.items() if name in ("agent_id", "model")]
    found += [value for name, value in query if name in ("agent_id", "agent_ids")]
    if isinstance(body, dict):
        found += [body.get("agent_id")]
    refs = [one for one in found if isinstance(one, str) and one]
    thread = path.get("conversation_id")
    if isinstance(thread, str) and (thread.startswith("agent-") or "/" in thread):
        refs.append(thread)  # its own thread
    return list(dict.fromkeys(refs))
