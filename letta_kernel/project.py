"""Which folder is the project, fixed when the process starts: a change of the working directory moves nothing.

Light on purpose: ``import letta_kernel`` imports it, so that the start is the start.
"""

from __future__ import annotations

import importlib
import multiprocessing.process
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = ".letta"

_settled: Path | None = None


def _began_in() -> Path:
    """Return the folder of the notebook whose kernel this is, or started this; else where the process began."""
    at = Path(os.getcwd())
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:  # a cell has imported us, and cells before it may have gone elsewhere
        at = Path(shell.starting_dir)
    elif multiprocessing.process.parent_process() is not None:  # spawned; where its parent began
        at = Path(getattr(multiprocessing.process, "ORIGINAL_DIR", None) or at)
    notebook = os.environ.get("JPY_SESSION_NAME")  # its whole path, from Jupyter's server
    beside = (at / notebook).parent if notebook else at
    return beside if beside.is_dir() else at


try:
    _start = _began_in()
except OSError:  # the working directory is gone
    _start = Path("/")


def start() -> Path:
    """Return the folder that relative paths of the project are meant from."""
    return _start


def project_folder(home: Path | str | None = None) -> Path:
    """Return the project folder.

    Parameters
    ----------
    home : named by the caller, who means the working directory by a relative path; else ``LETTA_HOME``
        counts, else ``.letta`` beside the notebook, or in the folder the process was started in.
    """
    if home:
        return Path(home).expanduser().resolve()
    return _settled if _settled is not None else project_of(_start)


def project_of(folder: Path) -> Path:
    """Return the project folder of the notebooks in *folder*: ``LETTA_HOME``, else ``.letta`` beside them."""
    from letta_kernel import settings  # not for the start: a kernel without agents needs none

    named = Path(settings.HOME() or FOLDER).expanduser()
    return (folder / named).resolve()


def is_there(home: Path) -> bool:
    """Whether there is a project, in the folder *home* or where ``LETTA_STORE`` says: looking makes none.

    Raises
    ------
    StoreError
        The server that would have it cannot be asked.
    """
    if (elsewhere := _elsewhere()) is not None:
        return bool(elsewhere.exists(home))
    # The record alone: there was one, and its store was lost.
    return any((home / name).exists() for name in ("letta.duckdb", "letta.duckdb.last"))


def where(home: Path) -> str:
    """Return where the rows of the project are, for messages: the folder *home*, or a server."""
    elsewhere = _elsewhere()
    return str(home if elsewhere is None else elsewhere.where(home))


def _elsewhere() -> Any:
    """Return what knows of rows that are not in the folder; None where ``LETTA_STORE`` names no other place."""
    from letta_kernel import settings

    if not settings.STORE():
        return None
    # By name, for imports point down: who only looks whether a file is there need not wait for the store.
    return importlib.import_module("letta_kernel.store.presence")


def settle() -> Path:
    """Keep the project folder as it is now for the rest of the process, and return it.

    A notebook does so at its first agent command: until then a cell may still set ``LETTA_HOME``.
    """
    global _settled
    _settled = project_folder()
    return _settled


def located(path: Path | str) -> Path:
    """Return *path*; a relative one as it is beside the notebook, else in the working directory."""
    wanted = Path(path).expanduser()
    beside = _start / wanted
    return beside if beside.exists() else wanted
