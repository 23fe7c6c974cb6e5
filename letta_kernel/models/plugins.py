"""Models that packages bring: each joins through an entry point, ours in the same way as anybody's.

A package adds models by an entry point of the group ``letta_kernel.models``. Its name is the first part of its
models' names, and it points at a subclass of `ModelProvider`:

    [project.entry-points."letta_kernel.models"]
    acme = "acme_letta:Acme"

From then on ``acme`` and ``acme/anything`` are models of ``Acme().open(name)``. All other names are
``provider/model`` names of litellm's.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from letta_kernel.errors import nearest
from letta_kernel.models.base import Cancel, ChatModel, Embedder, ModelError
from letta_kernel.models.tokens import count
from letta_kernel.remedies import Remedy, Words, clause

GROUP = "letta_kernel.models"
"""The group of entry points that providers of models join through."""

DEFAULT_WINDOW = 8_192
"""Tokens of a model whose provider says nothing else."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model this machine can use, or could: ``how`` says why, or what is wanted; ``get`` does it."""

    name: str
    usable: bool
    how: str
    chosen: bool = False
    get: Remedy | None = None

    def said(self, words: Words) -> str:
        """Return in a door's words why it can be used, or what to do."""
        return f"{clause(self.get, words)} ({self.how})" if self.get else self.how

    def as_dict(self, words: Words) -> dict[str, Any]:
        """Return it for JSON, in a door's words."""
        return {
            "name": self.name,
            "usable": self.usable,
            "how": self.said(words),
            "chosen": self.chosen,
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that can be downloaded, ``name`` without its provider's part; its size in bytes."""

    name: str
    bytes: int
    licence: str
    about: str

    @property
    def size(self) -> str:
        """The size as people read it."""
        return shown_size(self.bytes)


class ModelProvider:
    """What brings models under one first name; a subclass has to define `open` and nothing else.

    It is made once per process, without arguments, when one of its models is asked for or models are listed:
    what is slow to import belongs into its methods.
    """

    here: bool = False
    """Whether its models run on this machine: what they are told goes nowhere else."""

    def open(self, name: str) -> ChatModel:
        """Return the model *name* (whole: ``acme/one``).

        Raises
        ------
        ModelError
            Of kind ``unknown_model`` where there is none; one line that says what there is.
        """
        raise NotImplementedError

    def models(self) -> list[ModelInfo]:
        """Return its models for the list of models: those that can be used, and how to get others."""
        return []

    def names(self) -> list[str]:
        """Return names worth completing; nothing slow may be done for them."""
        return [info.name for info in self.models() if info.usable]

    def context_window(self, name: str) -> int:
        """Return the tokens *name* can see, without opening it."""
        return DEFAULT_WINDOW

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens *text* takes, without opening a model."""
        return count(text)

    def embedder(self, name: str) -> Embedder:
        """Return the embedding model *name*.

        Raises
        ------
        ModelError
            Of kind ``unknown_model`` where the provider has none.
        """
        raise ModelError("unknown_model", f"There is no embedding model {name!r}.")

    def check_embedder(self, name: str) -> None:
        """Say now what `embedder` would say of *name*, or its vectors later; errors as there."""
        self.embedder(name)

    def offers(self) -> dict[str, Offer]:
        """Return what can be downloaded, by the model's whole name."""
        return {}

    def downloaded(self) -> list[str]:
        """Return the whole names of models that are on this machine."""
        return []

    def download(
        self,
        name: str,
        *,
        confirm: Callable[[str], bool],
        progress: Callable[[int, int], None] = lambda done, total: None,
        cancel: Cancel | None = None,
    ) -> Path:
        """Download the model *name* of `offers` (without the provider's part) and return its file.

        Parameters
        ----------
        confirm : asked once, with a sentence that names size, licence and place; False downloads nothing.
        progress : told bytes that are here and bytes in all.
        cancel : ends the download; the part that is here is kept.

        Raises
        ------
        ModelError
            ``unknown_model`` for a name that is not offered, ``cancelled``, ``unreachable`` or ``other``.
        """
        raise ModelError("unknown_model", f"There is no model {name!r} to download.")


def provider_of(name: str) -> ModelProvider | None:
    """Return the provider that a package joined for the model *name*, None where litellm knows the name.

    Raises
    ------
    ModelError
        A package has joined for it, and cannot be loaded.
    """
    first = name.partition("/")[0]
    return _load(first) if first in _joined() else None


def is_joined(first: str) -> bool:
    """Return whether a package brings the models whose names begin with *first*; it is not loaded."""
    return first in _joined()


def providers() -> dict[str, ModelProvider]:
    """Return every provider that can be loaded, by its name."""
    found: dict[str, ModelProvider] = {}
    for first in _joined():
        try:
            found[first] = _load(first)
        except ModelError:
            continue  # `broken` says why
    return found


def broken() -> list[ModelInfo]:
    """Return an unusable model for each provider that cannot be loaded, which says why."""
    found = []
    for first in _joined():
        try:
            _load(first)
        except ModelError as error:
            found.append(ModelInfo(first, False, str(error)))
    return found


def offers() -> dict[str, Offer]:
    """Return all models that can be downloaded, by their whole names."""
    return {name: offer for one in providers().values() for name, offer in one.offers().items()}


def downloaded() -> list[str]:
    """Return the whole names of all models that are on this machine."""
    return [name for one in providers().values() for name in one.downloaded()]


def download(
    name: str,
    *,
    confirm: Callable[[str], bool],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[str, Path]:
    """Download a model of `offers`, named with or without its provider; return its whole name and file.

    Raises
    ------
    ModelError
        As `ModelProvider.download`; ``unknown_model`` for a name that is not on the list.
    """
    listed = offers()
    whole = next((one for one in listed if name in (one, one.partition("/")[2])), None)
    if whole is None:
        short = [one.partition("/")[2] for one in listed]
        raise ModelError(
            "unknown_model",
            f"{name} is not on the list ({', '.join(short) or 'which is empty'})."
            f"{nearest(name.rpartition('/')[2], short)}",
        )
    first, _, rest = whole.partition("/")
    return whole, _load(first).download(rest, confirm=confirm, progress=progress)


def shown_size(size: int) -> str:
    """Return *size* bytes in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


# -- who has joined ------------------------------------------------------------------------------------

_lock = threading.Lock()
_made: dict[str, ModelProvider | ModelError] = {}


@lru_cache(maxsize=1)
def _joined() -> Mapping[str, metadata.EntryPoint]:
    """Return the entry points by name: ours first, then those of other packages; the first of a name counts."""
    found = list(metadata.entry_points(group=GROUP))
    ours = [one for one in found if one.value.startswith("letta_kernel.")]
    joined: dict[str, metadata.EntryPoint] = {}
    for one in (*(ours or _of_source_tree()), *found):
        joined.setdefault(one.name, one)
    return joined


def _of_source_tree() -> Iterable[metadata.EntryPoint]:
    """Return our own entry points where the package is used from its sources, without being installed."""
    path = Path(__file__).parents[2] / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        entries = project["entry-points"][GROUP]
    except (OSError, ValueError, KeyError):
        return ()
    return [metadata.EntryPoint(name, value, GROUP) for name, value in entries.items()]


def _load(first: str) -> ModelProvider:
    with _lock:
        made = _made.get(first)
        if made is None:
            made = _made[first] = _make(_joined()[first])
    if isinstance(made, ModelError):
        raise ModelError(made.kind, str(made))
    return made


def _make(entry: metadata.EntryPoint) -> ModelProvider | ModelError:
    package = entry.dist.name if entry.dist is not None else entry.value.partition(":")[0]
    try:
        made = entry.load()()
    except (
        Exception
    ) as error:  # somebody else's code; what it says is told where its models are asked for
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return ModelError(
            "unknown_model", f"The models of {entry.name} cannot be used: {package} fails ({said})."
        )
    if not isinstance(made, ModelProvider):
        return ModelError(
            "unknown_model",
            f"The models of {entry.name} cannot be used: {entry.value} of {package} is no ModelProvider.",
        )
    return made
