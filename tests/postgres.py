"""A PostgreSQL server for the tests, thrown away at their end: one for all workers, one project for each test.

Where `LETTA_TEST_STORE` is ``postgresql``, the fixtures that make stores make them there; where it is
``pgbouncer``, they reach it through one. The server takes
connections by a socket in a folder of its own alone, and never asks for a password unless it is told to.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import psycopg
from filelock import FileLock

if TYPE_CHECKING:  # the process that looks after a server needs none of it
    from letta_kernel.store.database import Database, Tx

POOLED = os.environ.get("LETTA_TEST_STORE") == "pgbouncer"
"""Whether they are reached through PgBouncer, too."""
WANTED = POOLED or os.environ.get("LETTA_TEST_STORE") == "postgresql"
"""Whether the stores of tests are in PostgreSQL."""

# A crash of the machine may take the tests' rows: nobody needs them then.
_QUICK = "fsync=off synchronous_commit=off full_page_writes=off max_wal_size=4GB autovacuum_naptime=10min"
_SETTINGS = "max_connections=300 max_pred_locks_per_transaction=256 shared_buffers=64MB log_min_messages=fatal"
_SETTINGS += " password_encryption=scram-sha-256"  # as it is from version 14 on
GUARDED = "guarded"
"""A database that asks for passwords, once somebody has made it."""
ORDINARY = "tester"
"""A role as people should have: no superuser's, which `sql` is refused to; it makes its projects."""
_RULES = f"""
local {GUARDED} postgres trust
local {GUARDED} all scram-sha-256
local {GUARDED}2 all reject
"""
_numbers = itertools.count(1)
_PLACES = (
    "usr/lib/postgresql/*",  # Debian and Ubuntu
    "usr/pgsql-*",  # PostgreSQL's own packages for Fedora and the like
    "opt/homebrew/opt/postgresql@*",
    "usr/local/opt/postgresql@*",
    "Library/PostgreSQL/*",
)
"""Where its programs are if they are not on the path."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: that of the path, else the newest there is.

    Raises
    ------
    FileNotFoundError
        PostgreSQL is not installed.
    """
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    known = [one.parent for places in _PLACES for one in Path("/").glob(f"{places}/bin/initdb")]
    if not known:
        raise FileNotFoundError(
            "PostgreSQL is needed, so that initdb is found: apt-get install postgresql on Debian and Ubuntu,"
            " dnf install postgresql-server on Fedora, brew install postgresql on macOS"
        )
    return max(known, key=lambda one: [int(part) for part in re.findall(r"\d+", one.parent.name)])


class Cluster:
    """A server of its own in *folder*, which is made; `start` it, and `stop` it.

    Parameters
    ----------
    folder : a short path, for the socket is in it.
    durable : whether what is committed outlasts a crash.
    port : on which it can be reached on this machine, too; None for by the socket alone.
    settings : of the server, beyond what all tests have.
    rules : lines of pg_hba.conf that come first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = False,
        port: int | None = None,
        settings: str = "",
        rules: str = _RULES,
    ) -> None:
        self.folder = folder
        self.port = port or 5432  # a part of the socket's name
        self.data = folder / "data"
        address = f"listen_addresses={'127.0.0.1' if port else ''} port={self.port}"
        self._settings = f"{address} {_SETTINGS} {'' if durable else _QUICK} {settings}"
        self._rules = rules

    def make(self) -> None:
        """Make an empty one, in a second."""
        self.folder.mkdir(parents=True, exist_ok=True)
        as_someone(self.folder)
        given = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")
        try:
            self._call("initdb", *given, "--locale=C.UTF-8", "--pgdata", str(self.data))
        except RuntimeError:  # which not all systems have
            shutil.rmtree(self.data, ignore_errors=True)
            self._call("initdb", *given, "--locale=C", "--pgdata", str(self.data))
        rules = self.data / "pg_hba.conf"
        rules.write_text(self._rules + rules.read_text())

    def follow(self, other: Cluster) -> None:
        """Make one that follows *other*, which runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        as_someone(self.folder)
        self._call(
            "pg_basebackup", "--host", str(other.folder), "--username=postgres", "--checkpoint=fast",
            "--no-sync", "--write-recovery-conf", "--pgdata", str(self.data),
        )  # fmt: skip

    def promote(self) -> None:
        """Let it follow no other any more."""
        self._call("pg_ctl", "promote", "--silent", "--pgdata", str(self.data))

    def start(self) -> None:
        """Start it; it answers when this returns."""
        options = " ".join(f"-c {one}" for one in self._settings.split())
        options += f" -c unix_socket_directories='{self.folder}'"
        self._call("pg_ctl", "start", "--wait", "--silent", "--pgdata", str(self.data),
                   "--log", str(self.folder / "log"), "--options", options)  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; *mode* as pg_ctl has it."""
        self._call("pg_ctl", "stop", "--mode", mode, "--silent", "--pgdata", str(self.data))

    def remove(self) -> None:
        """Stop it, and leave nothing."""
        with contextlib.suppress(RuntimeError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process that all others of it are children of."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def url(
        self,
        project: str = "",
        *,
        user: str = "postgres",
        database: str = "postgres",
        **options: str,
    ) -> str:
        """Return a value of ``LETTA_STORE``."""
        query = {"host": str(self.folder), **({"project": project} if project else {}), **options}
        query = {key: value for key, value in query.items() if value}
        return f"postgresql://{user}@/{database}?" + "&".join(
            f"{key}={quote(value, safe='')}" for key, value in query.items()
        )

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a superuser's connection, outside of transactions."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        )

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs() / program, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=self.folder, start_new_session=True, **as_someone(),
        )  # fmt: skip
        if done.returncode:
            log = self.folder / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program}: {done.stdout}\n{said}")


def as_someone(given: Path | None = None) -> dict[str, Any]:
    """Return `subprocess` options for programs that refuse to run as root; a file or folder is *given* them."""
    if os.getuid() != 0:
        return {}
    user = _someone()
    if given is not None:
        shutil.chown(given, user.pw_uid, user.pw_gid)
        if given.is_dir():
            given.chmod(
                0o711
            )  # processes that root starts without its privileges come to the socket
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _someone() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and there is no other user")


def shared(folder: Path) -> Cluster:
    """Return the server of this run of the tests, started by the first worker that wants it.

    It ends by itself once the process in whose folder it is has ended: `_guard` looks after it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "cluster"
    with FileLock(folder / "cluster.lock"):
        if note.exists():
            return Cluster(Path(note.read_text()))
        # Not in pytest's own folder: the path of a socket may have some hundred characters, and root's
        # folders are closed to others.
        made = Cluster(Path(tempfile.mkdtemp(prefix="letta-pg-", dir="/tmp")))
        made.make()
        made.start()
        with made.connect() as connection:
            connection.execute(
                f"CREATE ROLE {ORDINARY} LOGIN CREATEROLE; GRANT CREATE ON DATABASE postgres TO {ORDINARY}"
            )
        _guard(made)
        note.write_text(str(made.folder))
        return made


def _guard(cluster: Cluster) -> None:
    """Have a process of its own stop the server and remove its folder once the tests have ended."""
    main = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    subprocess.Popen(
        [sys.executable, __file__, str(main), str(cluster.folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _wait_and_stop(main: int, folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    began = _began(main)
    while began and _began(main) == began:
        time.sleep(0.2)
    Cluster(folder).remove()


def _began(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return once something *holds*; `AssertionError` if it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "It never came to be."
        time.sleep(0.01)


def stored(database: Database) -> bytes:
    """Return all that a store holds: its file, or the rows of its project."""
    if database.in_file:
        database.close()  # writes everything; it opens again when it is needed
        return database.path.read_bytes()

    def rows(tx: Tx) -> str:
        tables = tx.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return "".join(str(tx.query(f'SELECT t::text FROM "{name}" t')) for (name,) in tables)

    return database.run(rows).encode()


def project() -> str:
    """Return the name of a project that is not there yet; it goes with the server."""
    return f"p{os.getpid()}_{next(_numbers)}"


if __name__ == "__main__":
    if len(sys.argv) == 1:  # for make
        try:
            print(programs())
            sys.exit()
        except FileNotFoundError as error:
            sys.exit(str(error))
    _wait_and_stop(int(sys.argv[1]), Path(sys.argv[2]))
