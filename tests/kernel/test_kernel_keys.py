"""Keys in a notebook: warned of in cells where agents are used, kept outside by the panel, never shown."""

from __future__ import annotations

import stat

import pytest
from kernel_notebook import Notebook
from kernel_panel import Panel, PanelFailure

KEY = "gsk_" + "0aB1cD2eF3" * 4
OTHER = "q8Zk2mN4pR7tV1xY9wB3"


def test_a_key_in_a_cell_is_warned_of_once_agents_are_used(notebook: Notebook) -> None:
    """First in this file: the notebook has no agent yet."""
    for source in (
        f"%env GROQ_API_KEY={KEY}",
        f"import os; os.environ['MISTRAL_API_KEY'] = '{OTHER}'",
        "1 / 0  # KEY",
    ):
        said = notebook.run(source)
        assert "holds a key" not in said.text
    first = notebook.run("%agent new ada")
    assert first.status == "ok"
    assert "This notebook holds a key (GROQ_API_KEY, MISTRAL_API_KEY)" in first.text
    assert KEY not in first.text
    assert OTHER not in first.text
    assert "holds a key" not in notebook.run("%agent list").text
    assert "holds a key" not in notebook.run(f"%env GROQ_API_KEY={KEY}").text  # told once
    again = notebook.run(f'client = dict(api_key="sk-{KEY}")')
    assert again.text.count("This notebook holds a key (api_key)") == 1
    for source in (
        "import os; key = os.environ.get('OPENAI_API_KEY')",
        "import getpass  # os.environ['OPENAI_API_KEY'] = getpass.getpass()",
        "os.environ['XAI_API_KEY'] = 'YOUR_API_KEY'; del os.environ['XAI_API_KEY']",
        "frame = dict(key='population_in_thousands')",
    ):
        assert notebook.run(source).text.strip() == ""


def test_the_list_of_models_says_where_keys_are_taken_from(notebook: Notebook) -> None:
    said = notebook.run("%agent model").text
    assert "Keys are taken from the environment, then " in said
    assert str(notebook.home.parent / ".env") in said
    assert "keyring" in said
    assert "OPENAI_API_KEY (the environment)" in said
    assert "%env" not in said


def test_the_panel_keeps_a_key_outside_the_notebook(notebook: Notebook) -> None:
    env = notebook.home.parent / ".env"
    panel = Panel(notebook).open()
    try:
        known = panel.ask("keys")
        assert "OPENAI_API_KEY" in known["variables"]
        assert known["places"][1] == str(env)
        kept = panel.ask("key.keep", variable="XAI_API_KEY", key=OTHER)
        assert kept["place"]
        for bad in (f"{KEY} {KEY}", KEY * 200):
            with pytest.raises(PanelFailure) as refused:
                panel.ask("key.keep", variable="XAI_API_KEY", key=bad)
            assert KEY not in str(refused.value)
        assert {"variable": "XAI_API_KEY", "place": kept["place"]} in panel.ask("keys")["found"]
        assert all(OTHER not in str(message) for message in panel.heard)
    finally:
        panel.close()
    if env.exists():  # no keyring answers on this machine
        assert env.read_text() == f"XAI_API_KEY={OTHER}\n"
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        assert (env.parent / ".gitignore").read_text() == ".env\n"
    assert notebook.run("'XAI_API_KEY' in __import__('os').environ").text.strip() == "False"
    assert OTHER not in notebook.run("%agent model").text
    assert "XAI_API_KEY" in notebook.run("%agent model").text


def test_a_file_that_others_can_read_is_said_once(notebook: Notebook) -> None:
    env = notebook.home.parent / ".env"
    env.write_text(f"XAI_API_KEY={OTHER}\n")
    env.chmod(0o644)
    notebook.restart()
    assert notebook.run("1 + 1").text.strip() == "2"
    said = notebook.run("%agent list").text
    assert said.count(f"chmod 600 {env}") == 1
    assert "chmod" not in notebook.run("%agent list").text
    env.unlink()
