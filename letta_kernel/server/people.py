"""The projects of many persons at one server: opened when they are asked for, closed when nobody is there."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel import users
from letta_kernel.errors import LettaError
from letta_kernel.records import AgentState, Grant
from letta_kernel.server.directory import Directory, Shared
from letta_kernel.server.events.runs import Project
from letta_kernel.service import AgentService
from letta_kernel.service.homes import Homes
from letta_kernel.service.people import People
from letta_kernel.service.quotas import Quotas
from letta_kernel.users import Actor

log = logging.getLogger("letta_kernel")

MOST_OPEN = 64
"""Projects that stay open although nobody asks for them; 300 persons must not mean 300 pools."""

IDLE = 30.0
"""Seconds after which a project that nobody asks for may be closed."""

_PAUSE = 5.0  # seconds between two looks for those
_FRESH = 2.0  # seconds for which the list of persons counts, and what is shared with somebody
_MOST_GUESTS = 10_000  # of whom it is remembered what is shared with them


class PeopleDirectory(Directory):
    """The persons of a registry, each with a project.

    Parameters
    ----------
    homes : where they are.
    most_open : projects that stay open although nobody asks for them.
    """

    def __init__(self, homes: Homes, *, most_open: int = MOST_OPEN, idle: float = IDLE) -> None:
        super().__init__(None)
        self._homes = homes
        self._registry = homes.registry()
        self.people: People = self._registry.people
        self.bounds = self.people
        self._most, self._idle = most_open, idle
        self._lock = threading.RLock()
        self._open: dict[str, Project] = {}  # the least recently asked for first
        self._asked: dict[str, float] = {}
        self._kept: Counter[str] = Counter()
        self._names: tuple[float, frozenset[str]] = (0.0, frozenset())
        self._shared: dict[str, tuple[float, list[Shared]]] = {}  # by guest, and when that was read
        self._known: dict[str, tuple[str, list[Shared]]] | None = None
        self._draining = False
        self._ending = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="letta-people", daemon=True)
        self._sweeper.start()

    @property
    def where(self) -> str:
        """Where the persons are, as one may read it."""
        return self._homes.where

    @property
    def registry(self) -> AgentService:
        """Where tokens and persons are."""
        return self._registry

    def owner_for(self, user: str | None) -> str:
        """Return whose project `home` is."""
        return user or self.owner

    def home(self, user: str | None) -> Project | None:
        """Return the project of a person's own; None for who is none."""
        return self.of(user) if user is not None else None

    def of(self, owner: str) -> Project | None:
        """Return the project of *owner*, running; None if there is no such person."""
        if owner not in self.names():
            return None
        with self._lock:
            project = self._open.pop(owner, None)
            if project is None:
                with users.acting(Actor(owner, owner)):
                    project = Project(self._homes.open(owner))
                project.service.runs.admit(Quotas(self.people, owner, self.found))
                if self._draining:
                    project.live.drain()
                    project.service.deliveries.rest()
            self._open[owner] = project
            self._asked[owner] = time.monotonic()
            return project

    def keep(self, project: Any) -> Callable[[], None]:
        """Keep a project open until what is returned is called."""
        with self._lock:
            owner = next((name for name, one in self._open.items() if one is project), None)
            if owner is None:
                return lambda: None
            self._kept[owner] += 1

        def leave() -> None:
            with self._lock:
                self._kept[owner] -= 1
                self._kept += Counter()
                self._asked[owner] = time.monotonic()

        return leave

    def names(self) -> frozenset[str]:
        """Return the names of all persons, as they were two seconds ago at most."""
        at, names = self._names
        if not at or time.monotonic() - at > _FRESH:
            names = frozenset(one.name for one in self.people.list())
            self._names = time.monotonic(), names
        return names

    def refresh(self) -> None:
        """Read who there is, and what they grant, anew the next time that is asked for."""
        self._names = (0.0, self._names[1])
        self._shared.clear()

    def shared(self, user: str) -> list[Shared]:
        """Return what others have granted to *user*.

        As it was two seconds ago at most: whether it stands is looked at where it is used. Of projects that
        are open it is asked; of others it is known as long as nobody writes to them.
        """
        at, known = self._shared.get(user, (0.0, []))
        if at and time.monotonic() - at < _FRESH:
            return known
        found = self._read_shared(user)
        if len(self._shared) > _MOST_GUESTS:
            self._shared.clear()
        self._shared[user] = time.monotonic(), found
        return found

    def _read_shared(self, user: str) -> list[Shared]:
        names = sorted(self.names() - {user})
        if (rows := self._homes.granted(names, user)) is not None:
            return [Shared(*one) for one in rows]
        found: list[Shared] = []
        for owner in names:
            try:
                found += [one for one in self._shared_of(owner) if one.grant.guest == user]
            except (
                LettaError
            ) as error:  # one project that cannot be read keeps nobody from the others
                log.warning("letta: what %s grants cannot be read: %s", owner, error.text)
        return found

    def drain(self) -> Sequence[Project]:
        """Let no run begin any more in what is opened from now on; return the projects that are open.

        None of them is closed any more for being idle: what goes on in it is waited for.
        """
        with self._lock:
            self._draining = True
            self._ending.set()
            return list(self._open.values())

    def close(self) -> None:
        """End the runs and let go of every project."""
        self._ending.set()
        with self._lock:
            every, self._open = list(self._open.items()), {}
        for owner, project in every:
            self._close(owner, project)
        self._registry.close()

    def _shared_of(self, owner: str) -> list[Shared]:
        with self._lock:
            project = self._open.get(owner)
            if self._known is None:
                kept = self.people.known_grants()
                self._known = {
                    name: (stamp, [_read(name, one) for one in found])
                    for name, (stamp, found) in kept.items()
                }
            known = self._known.get(owner)
        if project is not None:
            return [Shared(owner, *one) for one in project.service.grants.granted()]
        stamp = self._homes.stamp(owner)
        if known is not None and stamp and known[0] == stamp:
            return known[1]
        with self._homes.open(owner) as service:
            found = [Shared(owner, *one) for one in service.grants.granted()]
        self._know(owner, found)
        return found

    def _know(self, owner: str, found: list[Shared]) -> None:
        stamp = self._homes.stamp(owner)  # of a closed project: reading may have tidied its files
        if not stamp:
            return
        with self._lock:
            if self._known is not None:
                self._known[owner] = stamp, found
        self.people.know_grants(owner, stamp, [_written(one) for one in found])

    def _sweep(self) -> None:
        while not self._ending.wait(_PAUSE):
            try:
                self.tidy()
            except Exception:
                log.exception("letta: projects could not be closed")

    def tidy(self) -> None:
        """Close projects that nobody asks for, the longest idle first, down to what may stay open."""
        for name in [name for name in list(self._open) if name not in self.names()]:
            with self._lock:
                project = self._open.pop(name, None)
            if project is not None:  # of a person who was removed
                project.close()
        while True:
            with self._lock:
                idle = [
                    name
                    for name, one in self._open.items()
                    if not self._kept[name]
                    and not one.service.runs.going
                    and time.monotonic() - self._asked[name] > self._idle
                ]
                if len(self._open) <= self._most or not idle:
                    return
                owner = idle[0]
                project = self._open.pop(owner)
                self._close(owner, project)  # in the lock: nobody opens it meanwhile

    def _close(self, owner: str, project: Project) -> None:
        try:
            found = [Shared(owner, *one) for one in project.service.grants.granted()]
            project.close()
            self._know(owner, found)
        except LettaError as error:
            log.warning("letta: the project of %s: %s", owner, error.text)


def _written(one: Shared) -> dict[str, object]:
    state = one.state.model_dump(
        mode="json",
        include={
            "id",
            "name",
            "description",
            "model",
            "style",
            "created_at",
            "updated_at",
            "created_by",
        },
    )
    return {"grant": one.grant.model_dump(mode="json"), "agent": state}


def _read(owner: str, kept: dict[str, Any]) -> Shared:
    return Shared(
        owner, Grant.model_validate(kept["grant"]), AgentState.model_validate(kept["agent"])
    )
