"""Notebook context that goes beside a message: what happened, and what the ``@names`` stand for."""

from letta_kernel.notebook.beside.look import Seen
from letta_kernel.notebook.beside.mentions import begun, offered, visible
from letta_kernel.notebook.beside.source import NotebookBeside

__all__ = ["NotebookBeside", "Seen", "begun", "offered", "visible"]
