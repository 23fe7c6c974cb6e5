"""What a tool sees of the agent that calls it, as its parameter ``agent_state``.

It is a copy, read by attributes or as dictionaries, with the names that Letta's tools use. What a tool writes
into its memory blocks lands as a version of them when the call has gone well.
"""

from __future__ import annotations

from typing import Any


class Attributes(dict[str, Any]):
    """A dictionary that is read and written by attributes too."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return *value* with all dictionaries in it as such."""
        if isinstance(value, dict):
            return Attributes({key: cls.of(one) for key, one in value.items()})
        if isinstance(value, list):
            return [cls.of(one) for one in value]
        return value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class MemoryCopy(Attributes):
    """The memory blocks of the agent: ``agent_state.memory.get_block("human").value``."""

    def get_blocks(self) -> list[Any]:
        """Return the blocks."""
        return list(self["blocks"])

    def list_block_labels(self) -> list[str]:
        """Return the labels of the blocks."""
        return [block["label"] for block in self["blocks"]]

    def get_block(self, label: str) -> Any:
        """Return the block of this label; its ``value`` can be assigned.

        Raises
        ------
        KeyError
            There is none.
        """
        for block in self["blocks"]:
            if block["label"] == label:
                return block
        known = ", ".join(self.list_block_labels()) or "none"
        raise KeyError(f"There is no memory block {label!r}; there is: {known}.")

    def update_block_value(self, label: str, value: str) -> None:
        """Give the block of this label another text.

        Raises
        ------
        KeyError, ValueError
            There is none, or *value* is no text.
        """
        if not isinstance(value, str):
            raise ValueError(f"The value of a memory block is a text, not {type(value).__name__}.")
        self.get_block(label)["value"] = value


class StateCopy(Attributes):
    """An agent's state for one call."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return the copy that the values of a state make; what is no dictionary stays as it is."""
        if not isinstance(value, dict):
            return value
        made = cls({key: Attributes.of(one) for key, one in value.items()})
        if isinstance(made.get("memory"), dict) and "blocks" in made["memory"]:
            made["memory"] = MemoryCopy(made["memory"])
            made["blocks"] = made["memory"]["blocks"]
        return made

    def values_now(self) -> dict[str, str]:
        """Return the texts of the memory blocks, by label."""
        blocks = self["memory"]["blocks"] if isinstance(self.get("memory"), MemoryCopy) else ()
        return {block["label"]: block["value"] for block in blocks}

    def take(self, values: Any) -> None:
        """Take over what a copy of this copy, elsewhere, made of the memory blocks."""
        if isinstance(values, dict) and isinstance(self.get("memory"), MemoryCopy):
            for label in self["memory"].list_block_labels():
                if isinstance(values.get(label), str):
                    self["memory"].update_block_value(label, values[label])
