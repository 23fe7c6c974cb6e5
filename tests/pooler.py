"""PgBouncer before a server of the tests: each transaction gets whichever of a few connections is free."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import psycopg
import pytest
from postgres import Cluster, as_someone

_SETTINGS = """
[databases]
* = host={server} port=5432 user=postgres

[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = {size}
server_login_retry = 0.2
admin_users = postgres
logfile = {folder}/pgbouncer.log
"""


def program() -> str | None:
    """Return PgBouncer's path, None where it is not installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


needed = pytest.mark.skipif(
    program() is None,
    reason="PgBouncer is not installed: on Debian and Ubuntu apt-get install pgbouncer",
)
"""Skips a test where it is not installed."""


class Pooler:
    """A PgBouncer in transaction mode before *cluster*; it runs inside the ``with``.

    Parameters
    ----------
    folder : a short path, for the socket is in it; made, and removed at the end.
    size : connections to the server.
    """

    def __init__(self, cluster: Cluster, folder: Path, size: int = 3) -> None:
        self.folder = folder
        found = program()
        if found is None:
            raise FileNotFoundError("PgBouncer is not installed")
        self._program = found
        self._text = _SETTINGS.format(server=cluster.folder, folder=folder, size=size)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Pooler:
        self.folder.mkdir(mode=0o755)
        (self.folder / "pgbouncer.ini").write_text(self._text)
        options = as_someone(self.folder)
        self._process = subprocess.Popen(
            [self._program, "--quiet", str(self.folder / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder, start_new_session=True, **options,
        )  # fmt: skip
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self.ask("SHOW VERSION")
                return self
            if self._process.poll() is not None:
                raise RuntimeError((self.folder / "pgbouncer.log").read_text()[-2000:])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, text: str) -> list[tuple[object, ...]]:
        """Return what PgBouncer's console answers."""
        with psycopg.connect(
            host=str(self.folder), port=6432, user="postgres", dbname="pgbouncer", autocommit=True
        ) as console:
            cursor = console.execute(text, prepare=False)
            return cursor.fetchall() if cursor.description else []

    def url(self, project: str, **options: str) -> str:
        """Return a value of ``LETTA_STORE`` that leads through it."""
        query = {"host": str(self.folder), "port": "6432", "project": project, **options}
        query.setdefault("pooler", "transaction")
        return "postgresql://postgres@/postgres?" + "&".join(
            f"{key}={value}" for key, value in query.items() if value
        )
