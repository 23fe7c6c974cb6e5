"""Small settings of a project as a whole."""

from __future__ import annotations

from letta_kernel.service.core import Core
from letta_kernel.store import settings


class ProjectSettings:
    """What is kept for a project under a key."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def get(self, key: str) -> str | None:
        """Return a setting, None if it was never set."""
        return self._core.do(lambda tx: settings.get(tx, key))

    def put(self, key: str, value: str | None) -> None:
        """Keep a setting; None removes it."""
        self._core.do(lambda tx: settings.put(tx, key, value))
