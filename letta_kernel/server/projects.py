"""The projects below a Jupyter server's root folder: which one a request means, opened when it is asked for.

A request names the folder of a notebook, and gets the project that the notebook's kernel has
(`letta_kernel.project.project_of`). What it names cannot lead out of the root folder.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_core.paths import is_hidden

from letta_kernel import project, settings
from letta_kernel.errors import LettaError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.server.events.runs import Project


class Projects:
    """The projects of one server.

    Parameters
    ----------
    root : the server's root folder.
    home : the project of requests that name no folder; by default that of the root folder.
    hidden : whether folders whose names begin with a dot may be named.
    """

    def __init__(self, root: Path, home: Path | None = None, *, hidden: bool = False) -> None:
        self.root = root.resolve()
        self.home = home or project.project_of(self.root)
        self.hidden = hidden
        self._open: dict[Path, Project] = {}
        self._lock = threading.Lock()
        self._nothing: tempfile.TemporaryDirectory[str] | None = None

    def home_of(self, folder: str | None) -> Path:
        """Return the project folder of the notebooks in *folder*, a path from the root folder; None names none.

        Raises
        ------
        NotFoundError
            There is no such folder, or it, or the project in it, is not below the root folder.
        """
        if folder is None:
            return self.home
        there = self._below(folder)
        home = project.project_of(there)
        if not settings.HOME() and not home.is_relative_to(self.root):
            raise NotFoundError(
                f"{project.FOLDER} in {folder!r:.200} leads out of the root folder."
            )
        return home

    def _below(self, folder: str) -> Path:
        parts = [part for part in folder.split("/") if part]
        problem = NotFoundError(
            f"There is no folder {folder!r:.200} below the server's root folder."
        )
        if any(part in (".", "..") or "\0" in part for part in parts):
            raise problem
        try:
            there = self.root.joinpath(*parts).resolve(strict=True)
            inside = there.is_dir() and there.is_relative_to(self.root)
        except (OSError, RuntimeError):  # absent, not to be read, too long, or links in a circle
            raise problem from None
        if not inside or (not self.hidden and is_hidden(str(there), str(self.root))):
            raise problem
        return there

    def open(self, home: Path, *, make: bool = True) -> Project:
        """Return the project in the folder *home*, running.

        Parameters
        ----------
        make : whether it may be made; where it is not there else, an empty one stands for it. Looking leaves
            no folder behind.
        """
        from letta_kernel.server.events.runs import Project
        from letta_kernel.service import AgentService

        store: str | None = None  # wherever it is
        try:
            there = make or project.is_there(home)
        except LettaError:
            there = True  # whatever is asked of it says why nobody can tell
        with self._lock:
            if not there:
                self._nothing = self._nothing or tempfile.TemporaryDirectory(prefix="letta-")
                home, store = Path(self._nothing.name), ""
            if home not in self._open:
                self._open[home] = Project(AgentService(home, store))
            return self._open[home]

    def close(self) -> None:
        """End the runs and let go of every project."""
        with self._lock:
            every, self._open = list(self._open.values()), {}
            nothing, self._nothing = self._nothing, None
        for one in every:
            one.close()
        if nothing is not None:
            nothing.cleanup()
