"""A step explained, as a value that shows itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from letta_kernel.display.explanation import explanation_panel
from letta_kernel.service import Explanation


@dataclass(slots=True, repr=False)
class Explained(Explanation):
    """A step, explained: its fields are those of `Explanation`; a cell shows it, ``print`` prints it."""

    @classmethod
    def of(cls, told: Explanation) -> Self:
        """Return *told* as a value that shows itself."""
        return cls(**{one.name: getattr(told, one.name) for one in fields(told)})

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return explanation_panel(self)._repr_mimebundle_()

    def __str__(self) -> str:
        return explanation_panel(self).text

    def __repr__(self) -> str:
        return f"<{self.step_id} of {self.agent}, explained>"
