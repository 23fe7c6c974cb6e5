"""Copies of a project in PostgreSQL are made by its own programs: what to call, without the password."""

from __future__ import annotations

import shlex

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SECRET = ("password", "sslpassword")
PASSWORD = "the password comes from PGPASSWORD or the file that PGPASSFILE names"


def backup(conninfo: str, schema: str, target: str) -> str:
    """Return the command that writes all of a project's rows into a file."""
    name = schema.replace('"', '""')
    words = ["pg_dump", "--format=custom", f'--schema="{name}"', f"--file={target}"]
    return shlex.join([*words, f"--dbname={_without_secrets(conninfo)}"])


def restore(conninfo: str, schema: str, source: str) -> str:
    """Return the command that puts what `backup` has written in the project's place, whole or not at all."""
    words = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction"]
    # The role that reads for queries (`pg_reader`) may be missing there; it is given its rights anew.
    words.append("--no-privileges")
    # The schema itself stays: not every role may make one.
    return shlex.join(
        [*words, f"--schema={schema}", f"--dbname={_without_secrets(conninfo)}", source]
    )


def _without_secrets(conninfo: str) -> str:
    known = conninfo_to_dict(conninfo)
    return make_conninfo("", **{key: one for key, one in known.items() if key not in _SECRET})
