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
