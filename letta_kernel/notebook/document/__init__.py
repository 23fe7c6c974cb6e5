"""The notebook a kernel belongs to: read, changed and shown in through one protocol.

`Document` is what there is of it: `OpenDocument` where a front end of ours has it open, else `SavedDocument`.
"""

from letta_kernel.notebook.document.front_ends import FrontEnds, OpenDocument
from letta_kernel.notebook.document.protocol import (
    Author,
    Cell,
    Change,
    ChangedError,
    Contents,
    Document,
    DocumentError,
    Undone,
)
from letta_kernel.notebook.document.saved import SavedDocument

__all__ = [
    "Author",
    "Cell",
    "Change",
    "ChangedError",
    "Contents",
    "Document",
    "DocumentError",
    "FrontEnds",
    "OpenDocument",
    "SavedDocument",
    "Undone",
]
