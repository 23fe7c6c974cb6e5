"""Reads what a GGUF file says of itself (name, context length) without loading the model."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from letta_kernel.models.base import ModelError

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_MOST = 1 << 24  # characters of a string, or entries, past which a file is not believed


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a GGUF file says of its model; *context* is the length it was trained on, in tokens."""

    architecture: str
    name: str
    context: int
    template: str  # the Jinja chat template, empty where there is none


def read_facts(path: Path) -> GgufFacts:
    """Return the facts of the GGUF file at *path*; those of an unchanged file are remembered.

    Raises
    ------
    ModelError
        When it is no readable GGUF file.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError("unknown_model", f"{path.name} could not be read ({error}).") from error
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int, size: int) -> GgufFacts:
    found: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError("unknown_model", f"{path.name} is no GGUF file.")
            version, _tensors, entries = struct.unpack("<IQQ", file.read(20))
            if version < 2 or entries > _MOST:
                raise ValueError(f"version {version}, {entries} entries")
            for _ in range(entries):
                key = _string(file)
                found[key] = _value(file, struct.unpack("<I", file.read(4))[0])
    except (OSError, struct.error, ValueError, UnicodeDecodeError) as error:
        raise ModelError(
            "unknown_model", f"{path.name} could not be read as GGUF ({error})."
        ) from error
    architecture = str(found.get("general.architecture", ""))
    context = found.get(f"{architecture}.context_length")
    return GgufFacts(
        architecture,
        str(found.get("general.name", path.stem)),
        context if isinstance(context, int) and context > 0 else 2048,
        str(found.get("tokenizer.chat_template") or ""),
    )


def _string(file: BinaryIO) -> str:
    length = struct.unpack("<Q", file.read(8))[0]
    if length > _MOST:
        raise ValueError("a text is too long")
    return file.read(length).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > _MOST:
            raise ValueError("a list is too long")
        if inner in _SCALARS:
            file.seek(count * struct.calcsize(_SCALARS[inner]), 1)
        else:
            for _ in range(count):
                _skip(file, inner)
        return None
    if kind not in _SCALARS:
        raise ValueError(f"a value of unknown type {kind}")
    form = _SCALARS[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _skip(file: BinaryIO, kind: int) -> None:
    """Pass over an entry of a list without making anything of it: there are as many as tokens."""
    if kind == _STRING:
        file.seek(struct.unpack("<Q", file.read(8))[0], 1)
    else:
        _value(file, kind)
