"""``%agent model get`` through the real kernel: the list, and what it says to a wrong name."""

from __future__ import annotations

import pytest
from kernel_notebook import Notebook


def test_the_list_names_size_and_licence(notebook: Notebook) -> None:
    text = notebook.run("%agent model get").text
    assert "local/qwen3-0.6b" in text
    assert "639 MB" in text
    assert "Apache-2.0" in text


def test_a_name_not_on_the_list_is_one_line(notebook: Notebook) -> None:
    ran = notebook.run("%agent model get qwen-3-0.6b --yes")
    assert ran.status == "error"
    assert "not on the list" in ran.evalue


def test_what_this_machine_can_use_is_listed_with_how_to_get_the_rest(notebook: Notebook) -> None:
    text = notebook.run("%agent model").text
    assert "local/smollm2" in text
    assert "%agent model get" in text
    assert "only rules that pick a tool" in text
    assert "scripted/NAME" in text


def test_a_local_model_that_is_not_there_is_not_chosen(notebook: Notebook) -> None:
    notebook.run("%agent new settled --model demo")
    ran = notebook.run("%agent model local//no/such.gguf")
    assert (ran.status, "/no/such.gguf" in ran.evalue) == ("error", True)
    assert "demo" in notebook.run("%agent show").text


def test_settings_are_told_in_words(notebook: Notebook) -> None:
    notebook.run("%agent new worded")
    assert "fallbacks is ollama/qwen3, demo now." in (
        notebook.run("%agent set fallbacks ollama/qwen3, demo").text
    )
    assert "ollama/qwen3, demo" in notebook.run("%agent set").text
    assert "fallbacks is back at its default." in notebook.run("%agent set fallbacks default").text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("model nosuch", "There is no model 'nosuch'"),
        ("model opnai/gpt-5-mini", "Did you mean 'openai'?"),
        ("model openai/", "provider/model"),
        ("model openai/text-embedding-3-small", "cannot answer"),
        ("set model nosuch", "There is no model 'nosuch'"),
        ("set embedding nonsense", "There is no embedding model 'nonsense'"),
        ("set embedding openai/gpt-5-mini", "no embedding model"),
        ("set embedding local/none.gguf", "none.gguf"),
        ("set fallbacks demo,nosuch", "There is no model 'nosuch'"),
        ("set timezone Europe/Berln", "Did you mean 'Europe/Berlin'?"),
        ("set budget -1", "greater than 0"),
        ("set budget_total Infinity", "finite"),
        ("set budget_tokens -5", "greater than or equal to 1"),
        ("set max_steps 0", "from 1 to 1000"),
        ("set temperature hot", "temperature"),
        ("set context_window 10", "512"),
        ("set style odd", "'native' or 'heartbeat'"),
        ("new other --model nosuch", "There is no model 'nosuch'"),
        ("new other --embedding nonsense", "There is no embedding model"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_set(
    notebook: Notebook, command: str, said: str
) -> None:
    notebook.run("from letta_kernel import Agent\nAgent('careful', model='demo')")
    notebook.run("%agent use careful")
    before = notebook.run("%agent set").text
    ran = notebook.run(f"%agent {command}")
    assert (ran.status, ran.ename) == ("error", "AgentError"), ran
    assert said in ran.evalue
    assert "\n" not in ran.evalue
    assert notebook.run("%agent set").text == before
    assert "other" not in notebook.run("%agent list").text


def test_what_may_work_later_is_taken_with_a_line(notebook: Notebook) -> None:
    notebook.run("%agent new hopeful --model demo")
    taken = notebook.run("%agent model anthropic/claude-sonnet-5").text
    assert "ANTHROPIC_API_KEY is not set" in taken
    assert "ANTHROPIC_API_KEY" in notebook.run("%agent set fallbacks demo, anthropic/x").text
    assert "ANTHROPIC_API_KEY" in notebook.run("%agent new hoping --model anthropic/x").text
    assert "ANTHROPIC_API_KEY" in notebook.run("Agent('hoping', model='anthropic/y')").stderr
    ran = notebook.run("%%agent hopeful --model nosuch\nHello")
    assert (ran.status, "There is no model 'nosuch'" in ran.evalue) == ("error", True)
    assert "Hello" not in notebook.run("%agent history").text
    ran = notebook.run("Agent('hoping', model='nosuch')")
    assert (ran.ename, "There is no model 'nosuch'" in ran.evalue) == ("NotFoundError", True)
