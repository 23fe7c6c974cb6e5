"""What all records have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Something the store keeps; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # A cell whose last line is one keeps it in the notebook.
        return without_secrets(
            {str(name): value for name, value in super().__repr_args__()}
        ).items()


def without_secrets(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record as they may be shown: what is a secret by its name only."""

    def names(texts: Any) -> Any:
        if not isinstance(texts, dict):
            return texts
        return {name: text if "${" in str(text) else "…" for name, text in texts.items()}

    shown = {
        field: names(value) if field in ("environment", "headers") else value
        for field, value in held.items()
    }
    if isinstance(settings := held.get("settings"), dict) and "environment" in settings:
        shown["settings"] = {**settings, "environment": names(settings["environment"])}
    return shown
