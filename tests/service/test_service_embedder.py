"""Changing an agent's embedder: its memories are indexed anew, nobody else's are, searches go on."""

import time

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx_model import write_model

from letta_kernel.records import Passage


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def table(service, ref):
    return service._memories.of(service.agents.retrieve(ref))[0]._index.table


def test_a_new_embedder_indexes_anew_in_the_background_while_search_goes_on(service, tmp_path):
    service.agents.create("ada")
    for number in range(5):
        service.passages.create(f"the cat purrs, {number}", agent="ada")
    wait_for(lambda: service.passages.indexed("ada") == ("wordllama", 5, 5))
    name = f"local/{write_model(tmp_path / 'model')}"
    service.agents.update("ada", embedding=name)
    assert len(service.passages.search("cat", agent="ada")) == 5  # whether indexed yet or not
    wait_for(lambda: service.passages.indexed("ada") == (name, 5, 5))
    assert table(service, "ada").count() == 5
    assert len(service.passages.search("cat", agent="ada")) == 5


def test_an_embedder_sees_only_those_who_chose_it(service, tmp_path):
    name = f"local/{write_model(tmp_path / 'model')}"
    ada = service.agents.create("ada", embedding=name)
    service.agents.create("bob")
    shared = service.archives.create("shared")
    private = service.archives.create("private")
    service.passages.create("bob's own secret", agent="bob")
    for archive, text in ((private, "nobody's business"), (shared, "for all who are attached")):
        service.passages.insert([Passage(agent_id=archive.id, content=text)], archive=archive.id)
    service.passages.create("the cat purrs", agent="ada")
    service.archives.attach(shared.id, agent=ada.id)
    service._memories.of(service.agents.retrieve("ada"))[0].catch_up()
    assert table(service, "ada").count() == 2
    service._memories.of(service.agents.retrieve("bob"))[0].catch_up()
    assert service.passages.indexed("bob")[1:] == (1, 1)


def test_a_missing_model_is_no_end_of_searching(service, tmp_path):
    service.agents.create("ada")
    service.passages.create("the boat goes at nine", agent="ada")
    (tmp_path / "gone.gguf").touch()
    service.agents.update("ada", embedding=f"local/{tmp_path / 'gone.gguf'}")
    (tmp_path / "gone.gguf").unlink()
    found = service.passages.search("when does the boat go", agent="ada")
    assert [hit.passage.content for hit in found] == ["the boat goes at nine"]
