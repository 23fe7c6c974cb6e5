"""``%agent model get`` through the real kernel: the list, and what it says to a wrong name."""

from __future__ import annotations

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
    assert "On 117 prompts" in text


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
