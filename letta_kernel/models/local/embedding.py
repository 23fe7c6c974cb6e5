"""Embedding models on this machine: a GGUF file through llama.cpp, an ONNX file through onnxruntime.

Named ``local/PATH`` like local language models: ``local//models/bge-small.gguf``, or an ``.onnx`` file (or
the folder it is in) that has its ``tokenizer.json`` beside it or one folder up, as on Hugging Face.
"""

from __future__ import annotations

import json
import secrets
import threading
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from letta_kernel import lazy_import
from letta_kernel.models.base import EmbedderKind, ModelError
from letta_kernel.models.local.engine import INSTALL, use_free_cores
from letta_kernel.project import located
from letta_kernel.remedies import Do, remedy

PREFIX = "local/"
INSTALL_ONNX = (
    "Embedding with ONNX files needs onnxruntime.",
    remedy(Do.INSTALL_EXTRA, "onnx"),
)

_TOKENS = 512  # of one text; most embedding models were trained on no more
_CHARACTERS = 4 * _TOKENS
_BATCH = 16  # texts at once


class _Embedder(ABC):
    """What both kinds share: a name, a file, and a length of vectors that only the model knows."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._lock = threading.Lock()
        self._dimension = 0

    @abstractmethod
    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text."""

    @property
    def dimension(self) -> int:
        """Length of this model's vectors, found by embedding one word the first time."""
        if not self._dimension:
            self._dimension = self.embed(["memory"]).shape[1]
        return self._dimension


class GgufEmbedder(_Embedder):
    """A GGUF embedding model in this process; it is loaded at the first text."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        self._server: Any = None

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text; of a long one only its beginning counts.

        Raises
        ------
        ModelError
            When xllamacpp is missing, or the file is no embedding model it can load.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        with self._lock:
            if self._server is None:
                self._server = self._load()
            rows = [self._vector(text[:_CHARACTERS] or " ") for text in texts]
        return _unit(np.array(rows, dtype=np.float32))

    def _vector(self, text: str) -> list[float]:
        while True:
            answer = self._server.handle_embeddings({"input": text})
            if "data" in answer:
                vector: list[float] = answer["data"][0]["embedding"]
                return vector
            message = str(answer.get("error", {}).get("message", answer))
            if "too large" not in message or len(text) < 16:
                raise ModelError("other", f"{self._path.name} could not embed a text: {message}")
            text = text[: len(text) // 2]  # a script that takes more tokens than letters

    def _load(self) -> Any:
        try:
            xllamacpp = lazy_import.load("xllamacpp")
        except ImportError as error:
            raise ModelError("unknown_model", *INSTALL) from error
        kinds = xllamacpp.llama_pooling_type
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._path)
        parameters.embedding = True
        # What the file says; a mean where it says nothing, as files of language models do.
        named = b".pooling_type" in _head(self._path)
        parameters.pooling_type = (
            kinds.LLAMA_POOLING_TYPE_UNSPECIFIED if named else kinds.LLAMA_POOLING_TYPE_MEAN
        )
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 2 * _TOKENS
        parameters.n_parallel = 1
        parameters.verbosity = -1
        parameters.warmup = False
        parameters.ui = False
        parameters.api_keys = [secrets.token_urlsafe(24)]  # of its loopback port, which nobody uses
        parameters.cors_origins = "http://127.0.0.1"
        use_free_cores(parameters)
        try:
            return xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ModelError(
                "unknown_model", f"{self._path.name} could not be loaded for embedding ({error})."
            ) from error


class OnnxEmbedder(_Embedder):
    """An ONNX embedding model with its tokenizer, in this process; loaded at the first text.

    Takes the model's own sentence vector if it has such an output, else the mean of its tokens' vectors
    (or the first one, where ``1_Pooling/config.json`` says so).
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        self._loaded: tuple[Any, Any, bool] | None = None

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text; of a long one only its beginning counts.

        Raises
        ------
        ModelError
            When onnxruntime is missing, or the files are no embedding model.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            try:
                parts = [
                    self._batch(*self._loaded, texts[first : first + _BATCH])
                    for first in range(0, len(texts), _BATCH)
                ]
            except Exception as error:  # onnxruntime's errors have no base class of their own
                line = str(error).strip().partition("\n")[0]
                raise ModelError(
                    "other", f"{self._path.name} could not embed a text: {line}"
                ) from error
        return _unit(np.concatenate(parts))

    def _batch(
        self, session: Any, tokenizer: Any, first_only: bool, texts: list[str]
    ) -> np.ndarray:
        codes = [tokenizer.encode(text[: 4 * _CHARACTERS]).ids[:_TOKENS] or [0] for text in texts]
        longest = max(map(len, codes))
        ids = np.zeros((len(codes), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, code in enumerate(codes):
            ids[row, : len(code)] = code
            mask[row, : len(code)] = 1
        known = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.broadcast_to(np.arange(longest), ids.shape).copy(),
        }
        outputs = [output.name for output in session.get_outputs()]
        given = {entry.name: known[entry.name] for entry in session.get_inputs()}
        wanted = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]
        found = np.asarray(session.run([wanted], given)[0], dtype=np.float32)
        if found.ndim == 2:
            return found
        if first_only:
            first: np.ndarray = found[:, 0]
            return first
        weights = mask[:, :, None].astype(np.float32)
        mean: np.ndarray = (found * weights).sum(axis=1) / weights.sum(axis=1)
        return mean

    def _load(self) -> tuple[Any, Any, bool]:
        try:
            runtime = lazy_import.load("onnxruntime")
            tokenizers = lazy_import.load("tokenizers")
        except ImportError as error:
            raise ModelError("unknown_model", *INSTALL_ONNX) from error
        folders = [self._path.parent, self._path.parent.parent]
        texts = [folder / "tokenizer.json" for folder in folders]
        vocabulary = next((file for file in texts if file.is_file()), None)
        if vocabulary is None:
            raise ModelError(
                "unknown_model", f"{self._path} has no tokenizer.json beside it: put it there."
            )
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(vocabulary))
            tokenizer.no_padding()
            tokenizer.enable_truncation(_TOKENS)
            session = runtime.InferenceSession(str(self._path), providers=["CPUExecutionProvider"])
        except Exception as error:  # neither library has a base class for its errors
            line = str(error).strip().partition("\n")[0]
            raise ModelError(
                "unknown_model", f"{self._path.name} could not be loaded: {line}"
            ) from error
        strange = {entry.name for entry in session.get_inputs()} - {
            *("input_ids", "attention_mask", "token_type_ids", "position_ids")
        }
        if strange:
            raise ModelError(
                "unknown_model",
                f"{self._path.name} is no text embedding model: it asks for {', '.join(sorted(strange))}.",
            )
        return session, tokenizer, any(map(_takes_first, folders))


class LocalEmbedder:
    """The model of ``local/PATH``. The file is looked for at the first text, and again until it is there."""

    kind: EmbedderKind = "small"

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: GgufEmbedder | OnnxEmbedder | None = None

    @property
    def dimension(self) -> int:
        """Length of this model's vectors, found by embedding one word the first time."""
        return self._model().dimension

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text; of a long one only its beginning counts.

        Raises
        ------
        ModelError
            There is no such file, it is no embedding model, or the library for it is missing.
        """
        return self._model().embed(texts)

    def _model(self) -> GgufEmbedder | OnnxEmbedder:
        if self._found is None:
            self._found = _open(self.name)
        return self._found


def file_of(name: str) -> Path:
    """Return the file that the embedding model *name* (``local/PATH``) is in.

    Raises
    ------
    ModelError
        There is none, or none of a known form.
    """
    path = located(name.removeprefix(PREFIX))
    if path.is_dir():
        files = [path / "model.onnx", path / "onnx" / "model.onnx", *sorted(path.glob("*.gguf"))]
        path = next((file for file in files if file.is_file()), path)
    if not path.is_file():
        raise ModelError("unknown_model", f"There is no embedding model at {path}.")
    if path.suffix.lower() not in (".gguf", ".onnx"):
        raise ModelError(
            "unknown_model", f"{path} is no embedding model: give a .gguf or an .onnx file."
        )
    return path


def check(name: str) -> None:
    """Look for the file of the embedding model *name*, and for what runs it; errors as `file_of`."""
    gguf = file_of(name).suffix.lower() == ".gguf"
    needed, lacking = (
        (("xllamacpp",), INSTALL) if gguf else (("onnxruntime", "tokenizers"), INSTALL_ONNX)
    )
    if any(find_spec(library) is None for library in needed):
        raise ModelError("unknown_model", *lacking)


def _open(name: str) -> GgufEmbedder | OnnxEmbedder:
    path = file_of(name)
    gguf = path.suffix.lower() == ".gguf"
    return GgufEmbedder(name, path) if gguf else OnnxEmbedder(name, path)


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 16)  # the settings of a model stand before its vocabulary


def _takes_first(folder: Path) -> bool:
    try:
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(pooling, dict) and bool(pooling.get("pooling_mode_cls_token"))


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.nan_to_num(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[(lengths < 1e-12)[:, 0]] = 1.0
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)
