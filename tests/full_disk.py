"""A disk that is full, as far as this process can tell."""

from __future__ import annotations

import resource
import sys


class FullDisk:
    """Lets no file grow beyond a size, from `fill` until `free`.

    Python writes no modules meanwhile: it would not notice that they are cut off, and others would read them.
    """

    def __init__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._writes_none = sys.dont_write_bytecode

    def fill(self, size: int) -> None:
        """Let no file have more than *size* bytes."""
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._limits[1]))

    def free(self) -> None:
        """Let files grow again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        sys.dont_write_bytecode = self._writes_none
