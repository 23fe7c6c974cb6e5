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
    return service._memory_of(service.agent(ref))[0]._index.table


def test_a_new_embedder_indexes_anew_in_the_background_while_search_goes_on(service, tmp_path):
    service.create_agent("ada")
    for number in range(5):
        service.add_passage("ada", f"the cat purrs, {number}")
    wait_for(lambda: service.indexed("ada") == ("wordllama", 5, 5))
    name = f"local/{write_model(tmp_path / 'model')}"
    service.update_agent("ada", embedding=name)
    assert len(service.search_passages("ada", "cat")) == 5  # whether indexed yet or not
    wait_for(lambda: service.indexed("ada") == (name, 5, 5))
    assert table(service, "ada").count() == 5
    assert len(service.search_passages("ada", "cat")) == 5


def test_an_embedder_sees_only_those_who_chose_it(service, tmp_path):
    name = f"local/{write_model(tmp_path / 'model')}"
    ada = service.create_agent("ada", embedding=name)
    service.create_agent("bob")
    shared = service.create_archive("shared")
    private = service.create_archive("private")
    service.add_passage("bob", "bob's own secret")
    for archive, text in ((private, "nobody's business"), (shared, "for all who are attached")):
        service.fill_archive(archive.id, [Passage(agent_id=archive.id, content=text)])
    service.add_passage("ada", "the cat purrs")
    service.attach_archive(ada.id, shared.id)
    service._memory_of(service.agent("ada"))[0].catch_up()
    assert table(service, "ada").count() == 2
    service._memory_of(service.agent("bob"))[0].catch_up()
    assert service.indexed("bob")[1:] == (1, 1)


def test_a_missing_model_is_no_end_of_searching(service, tmp_path):
    service.create_agent("ada")
    service.add_passage("ada", "the boat goes at nine")
    (tmp_path / "gone.gguf").touch()
    service.update_agent("ada", embedding=f"local/{tmp_path / 'gone.gguf'}")
    (tmp_path / "gone.gguf").unlink()
    found = service.search_passages("ada", "when does the boat go")
    assert [hit.passage.content for hit in found] == ["the boat goes at nine"]
