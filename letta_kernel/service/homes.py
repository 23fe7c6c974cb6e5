"""Where the projects of many persons are, and the registry of these: folders, or schemas of one database."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from letta_kernel import users
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.project import FOLDER, project_folder
from letta_kernel.records import AgentState, Grant
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database

REGISTRY = ".people"
"""The folder of the registry, beside those of the persons: no person can be called so."""


_REGISTRY_SCHEMA = "letta_people"


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

    def granted(
        self, names: Sequence[str], guest: str
    ) -> list[tuple[str, Grant, AgentState]] | None:
        """Return what is granted to somebody in the projects of *names*, at one go; None: ask each of them."""

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

    def granted(
        self, names: Sequence[str], guest: str
    ) -> list[tuple[str, Grant, AgentState]] | None:
        """Return None: each project tells."""
        return None

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


class SchemaHomes:
    """Each person's project is a schema of one database, with a role of its own.

    The server's role is a member of those roles, or a superuser. Its connections to a project act as that
    person's role from their start, so that the database itself keeps projects apart. What is no row, such as
    uploads and vector indexes, is in a folder for each person.

    Parameters
    ----------
    url : the database, with the administrator's role; its password is shown nowhere.
    folder : where those folders are.
    """

    def __init__(self, url: str, folder: Path) -> None:
        from letta_kernel.store import pg_address, pg_people  # an extra

        self._sql = pg_people
        self._url = url
        self._address = pg_address.address(url, folder)
        if self._address.pooled:
            raise InvalidInputError(
                "Persons each have a role, which a pooler would mix up: name the server itself, without"
                " pooler=transaction."
            )
        self.folder = folder
        self._asking: Any = None
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """Where that is, as a person may read it."""
        return self._address.place

    def exists(self) -> bool:
        """Whether there is a registry: looking makes none."""
        database = Database(self.folder / REGISTRY, store=self._registry)
        try:
            return database.exists()
        finally:
            database.close()

    def registry(self) -> AgentService:
        """Return the store of persons and tokens."""
        return AgentService(self.folder / REGISTRY, store=self._registry, keys_beside=False)

    def open(self, name: str) -> AgentService:
        """Return a person's project."""
        users.checked_name(name)
        store = self._sql.with_project(self._url, name, name)
        return AgentService(self.folder / name / FOLDER, store=store, keys_beside=False)

    def stamp(self, name: str) -> str:
        """Return nothing: a question to the database is as quick."""
        return ""

    def granted(
        self, names: Sequence[str], guest: str
    ) -> list[tuple[str, Grant, AgentState]] | None:
        """Return what is granted to somebody, by one statement over all schemas."""
        with self._lock:
            try:
                if self._asking is None:
                    self._asking = self._sql.connect(self._url)
                rows = self._sql.granted(self._asking, names, guest)
            except Exception as error:  # the next question takes a new connection
                self._asking = None
                raise StoreError(f"What is granted cannot be read in {self.where}.") from error
        found = []
        for (
            owner,
            key,
            agent_id,
            rights,
            tools,
            name,
            about,
            model,
            style,
            made,
            changed,
            by,
        ) in rows:
            grant = Grant(id=key, agent_id=agent_id, guest=guest, rights=rights, tools=tools)
            state = AgentState(
                id=agent_id,
                name=name,
                description=about,
                model=model,
                style=style,
                created_at=made,
                updated_at=changed,
                created_by=by,
            )
            found.append((str(owner), grant, state))
        return found

    def make(self, name: str) -> str:
        """Make a person's role and schema; return the address for their notebooks, with a new password."""
        if not name[0].isalpha():
            raise InvalidInputError(
                f"In PostgreSQL a person's name begins with a letter: {name!r}."
            )
        password = self._sql.make(self._url, name)
        try:
            with self.open(name) as service:
                service.agents.list()  # makes the tables, as that role
        except BaseException:
            self._sql.remove(self._url, name)
            raise
        return f"LETTA_STORE={self._sql.with_role(self._url, name, password)}"

    def remove(self, name: str) -> None:
        """Drop a person's schema and role, with all that is in it."""
        users.checked_name(name)
        self._sql.remove(self._url, name)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def _registry(self) -> str:
        return self._sql.with_project(self._url, _REGISTRY_SCHEMA)


def homes(where: str) -> Homes:
    """Return where *where* says that persons are: a folder, or ``postgresql://…``.

    Raises
    ------
    InvalidInputError
        It says nothing.
    """
    if not where.strip():
        raise InvalidInputError(
            "Say where the persons are: name a folder or postgresql://…, or set LETTA_PEOPLE."
        )
    if where.startswith(("postgresql://", "postgres://")):
        return SchemaHomes(where, project_folder() / "people")
    return FolderHomes(Path(where))
