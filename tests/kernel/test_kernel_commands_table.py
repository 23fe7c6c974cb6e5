"""The table of commands in a notebook: help and Tab know all of it, and what is added to it."""

from __future__ import annotations

from kernel_notebook import Notebook
from table_bench import ADDED

from letta_kernel.commands import reference


def test_tab_offers_every_command(notebook: Notebook) -> None:
    assert notebook.complete("%agent ") == reference.top_level()
    for word in reference.top_level():
        offered = notebook.complete(f"%agent {word} ")
        assert set(reference.under(word)) <= set(offered)
    help_text = notebook.inspect("%agent")
    for one in reference.lines().values():
        assert one.short("notebook") in help_text


def test_a_command_that_is_added_is_in_the_notebook(notebook: Notebook) -> None:
    added = notebook.run(ADDED)
    assert added.status == "ok", added
    assert notebook.complete("%agent gre") == ["greet"]
    assert notebook.complete("%agent greet heart") == ["heartbeat"]
    assert "--loud" in notebook.complete("%agent greet --")
    assert "%agent greet WHOM" in notebook.inspect("%agent")
    assert "Say hello to somebody" in notebook.run("%agent help").text
    assert "In capitals" in notebook.run("%agent help greet").stdout
    assert "Hello ada" in notebook.run("%agent greet ada").text
    assert "HELLO ADA" in notebook.run("%agent greet ada --loud").text
    assert "Did you mean 'greet'?" in notebook.run("%agent gret ada").text


def test_an_error_ends_with_a_name_that_help_explains(notebook: Notebook) -> None:
    ran = notebook.run("%agent memory")
    assert ran.evalue.endswith("(%agent help no-agent)")
    assert "There is no agent here yet [no-agent]" in notebook.run("%agent help no-agent").stdout
    assert notebook.complete("%agent help store-n") == ["store-newer"]
    assert "Did you mean 'store-newer'?" in notebook.run("%agent help stor-newer").evalue
    raised = notebook.run("import letta_kernel\nletta_kernel.tool(3)")
    assert "(letta-kernel help tool-definition)" in raised.text
