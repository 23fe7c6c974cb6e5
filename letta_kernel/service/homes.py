"""Where the projects of many persons are, and the registry of these: folders, or schemas of one database."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Protocol

from letta_kernel import users
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.project import FOLDER
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database

REGISTRY = ".people"
"""The folder of the registry, beside those of the persons: no person can be called so."""


class Homes(Protocol):
    """Where persons' projects are."""

    @property
    def where(self) -> str:
        """Where that is, as a person may read it."""

    def registry(self) -> AgentService:
        """Return the store of persons and tokens."""

    def exists(self) -> bool:
        """Whether there is a registry: looking makes none."""

    def open(self, name: str) -> AgentService:
        """Return a person's project."""

    def stamp(self, name: str) -> str:
        """Return what differs once anybody has written to a person's project; empty if nothing tells."""

    def make(self, name: str) -> str:
        """Make a person's project; return what its owner needs to reach it, to be told once."""

    def remove(self, name: str) -> None:
        """Delete a person's project, with all that is in it."""


class FolderHomes:
    """Each person's project is ``NAME/.letta`` below a folder, which nobody but the server's user reads.

    Parameters
    ----------
    root : the folder; made with the first person.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self._databases: dict[str, Database] = {}

    @property
    def where(self) -> str:
        """Where that is, as a person may read it."""
        return str(self.root)

    def exists(self) -> bool:
        """Whether there is a registry: looking makes none."""
        return Database(self.root / REGISTRY, store="").exists()

    def registry(self) -> AgentService:
        """Return the store of persons and tokens."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return AgentService(self.root / REGISTRY, store="", keys_beside=False)

    def open(self, name: str) -> AgentService:
        """Return a person's project.

        Raises
        ------
        StoreError
            Its folder leads elsewhere.
        """
        return AgentService(self._home(name), store="", keys_beside=False)

    def stamp(self, name: str) -> str:
        """Return what differs once anybody has written to a person's project."""
        found = self._databases.get(name)
        if found is None:
            found = self._databases[name] = Database(self.root / name / FOLDER, store="")
        return json.dumps(found.changed())

    def make(self, name: str) -> str:
        """Make a person's project; return where it is."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        home = self._home(name)
        home.parent.mkdir(exist_ok=True, mode=0o700)
        with AgentService(home, store="", keys_beside=False) as service:
            service.agents.list()  # makes the store
        return str(home)

    def remove(self, name: str) -> None:
        """Delete a person's folder, with all that is in it."""
        home = self._home(name)
        if home.parent.is_dir():
            shutil.rmtree(home.parent)
        self._databases.pop(name, None)

    def _home(self, name: str) -> Path:
        users.checked_name(name)
        home = self.root / name / FOLDER
        if home.resolve() != self.root.resolve() / name / FOLDER:
            raise StoreError(f"{self.root / name} leads out of {self.root}.")
        return home


def homes(where: str) -> Homes:
    """Return where *where* says that persons are: a folder, or ``postgresql://…``.

    Raises
    ------
    InvalidInputError
        It says nothing.
    """
    if not where.strip():
        raise InvalidInputError(
            "Say where the persons are: --people FOLDER, --people postgresql://…, or LETTA_PEOPLE."
        )
    if where.startswith(("postgresql://", "postgres://")):
        raise InvalidInputError("Persons in PostgreSQL are not there yet: name a folder.")
    return FolderHomes(Path(where))
