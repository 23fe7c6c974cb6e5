"""Stateful LLM agents in a Jupyter notebook.

Everything public is imported on first use, so that ``import letta_kernel`` costs nothing at kernel start.
"""

# `python -m letta_kernel` puts the current folder first on the path, where a file may be named like a module
# we import: nothing but what is built in is imported before it is off. IPython puts it back for the user.
import sys

if (
    sys.argv[:1] == ["-m"]  # only while Python looks for the module
    and any(a.removeprefix("-m").partition(".")[0] == "letta_kernel" for a in sys.orig_argv)
    and not sys.flags.safe_path
):
    del sys.path[0]

from typing import TYPE_CHECKING, Any

from letta_kernel import project as project  # fixes where the project is, before anything moves

if TYPE_CHECKING:
    from letta_kernel.api.agent import Agent as Agent
    from letta_kernel.api.check import check as check
    from letta_kernel.api.compare import compare as compare
    from letta_kernel.api.experiment import Experiment as Experiment
    from letta_kernel.models.scripted import scripted as scripted
    from letta_kernel.tools.options import ToolOptions as ToolOptions
    from letta_kernel.tools.options import tool as tool

try:
    from letta_kernel._version import __version__ as __version__
except ImportError:  # a checkout that nothing was built from
    __version__ = "0+unknown"

__all__ = [
    "Agent",
    "Experiment",
    "ToolOptions",
    "__version__",
    "check",
    "compare",
    "load_ipython_extension",
    "scripted",
    "tool",
]

_PUBLIC = {
    "Agent": "letta_kernel.api.agent",
    "Experiment": "letta_kernel.api.experiment",
    "ToolOptions": "letta_kernel.tools.options",
    "check": "letta_kernel.api.check",
    "compare": "letta_kernel.api.compare",
    "scripted": "letta_kernel.models.scripted",
    "tool": "letta_kernel.tools.options",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Add ``%agent`` and tool discovery to a plain IPython kernel (``%load_ext letta_kernel``)."""
    from letta_kernel.magics import install

    install(shell)
