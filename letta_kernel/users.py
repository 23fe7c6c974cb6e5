"""Who acts: the person in whose name rows are written, and what a guest of another person's agent may.

A server says it for each request (`acting`). Everywhere else it is the person in front: ``LETTA_USER``, else
the user of a JupyterHub, else the login name.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import ParamSpec, TypeVar

from letta_kernel import settings
from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import LOCAL_USER, hidden_sign

P = ParamSpec("P")
T = TypeVar("T")

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")
"""What a person may be called: it becomes a folder, a schema, a role, and a part of an agent's name."""

_HUB = "JUPYTERHUB_USER"  # as a JupyterHub sets it for a person's server
_LONGEST = 100  # characters of a name that an environment gives
_TAKEN = frozenset({"public", "postgres", "information_schema", "letta_people", "none"})


@dataclass(frozen=True, slots=True)
class Guest:
    """What somebody may with an agent of another person's.

    Attributes
    ----------
    agent_id : the agent that is granted; with others that it asks nothing more can be done than with none.
    rights : some of ``read``, ``talk``, ``write``.
    tools : the names of the owner's tools that run for the guest.
    """

    agent_id: str
    rights: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()

    @property
    def reads(self) -> bool:
        """Whether what others said to the agent may be read."""
        return not self.rights.isdisjoint(("read", "write"))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, in whose project, and as what guest if it is another's."""

    name: str
    owner: str
    guest: Guest | None = None


_ACTOR: ContextVar[Actor | None] = ContextVar("letta_kernel_actor", default=None)


@contextmanager
def acting(actor: Actor | None) -> Iterator[None]:
    """Do what is done in this block in the name of *actor*; None: of the person in front."""
    mark = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(mark)


def become(actor: Actor | None) -> None:
    """Act as *actor* for the rest of this context."""
    _ACTOR.set(actor)


def as_owner(work: Callable[P, T]) -> Callable[P, T]:
    """Return *work* for a thread of its own, done in the name of the owner of the project that is acted in."""
    said = _ACTOR.get()
    if said is None:
        return work
    owner = Actor(said.owner, said.owner)

    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        become(owner)
        return work(*args, **kwargs)

    return done


def actor() -> Actor | None:
    """Return who was said to act; None: nobody was, it is the person in front."""
    return _ACTOR.get()


def guest() -> Guest | None:
    """Return as what guest is acted; None: as the owner."""
    said = _ACTOR.get()
    return said.guest if said is not None else None


def current_user() -> str:
    """Return the name of the person who acts."""
    said = _ACTOR.get()
    return said.name if said is not None else person_in_front()


def current_owner() -> str:
    """Return the name of the person whose project it is."""
    said = _ACTOR.get()
    return said.owner if said is not None else person_in_front()


def person_in_front() -> str:
    """Return who uses this process."""
    return _clean(settings.USER() or os.environ.get(_HUB, "").strip() or _login())


def is_own(user_id: str) -> bool:
    """Whether *user_id*, as rows have it, is the owner of the project: older stores knew nobody else."""
    return user_id in (LOCAL_USER, current_owner())


def checked_name(name: str) -> str:
    """Return *name* if a person may be called so; `InvalidInputError` if not."""
    if (
        NAME.fullmatch(name) is None
        or name in _TAKEN
        or name.startswith("pg_")
        or ".." in name
        or name.endswith(".")
    ):
        raise InvalidInputError(
            f"A person cannot be called {name!r:.100}: 1 to 48 of a-z, 0-9, '.', '_', '-', the first a letter "
            "or digit."
        )
    return name


def _clean(name: str) -> str:
    return name if len(name) <= _LONGEST and hidden_sign(name) is None else LOCAL_USER


@lru_cache(maxsize=1)
def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return LOCAL_USER
