"""What the person chose in JupyterLab's settings, for this kernel: models, approvals, streaming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Policy = Literal["ask", "approve", "deny", "wait"]


@dataclass(slots=True)
class Preferences:
    """Held by the kernel's process; without a front end that sets them the defaults stand."""

    approval: Policy = "ask"
    streaming: bool = True


PREFERENCES = Preferences()
"""The one of this process: a kernel has one notebook, and what is chosen holds for all notebooks."""
