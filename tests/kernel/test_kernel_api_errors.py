"""What a cell shows when a plain call of the Python interface fails, in our kernel and in a plain one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked_kernels import LETTA, PLAIN
from kernel_notebook import Notebook


@pytest.fixture(params=["letta", "plain"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notebook]:
    plain = request.param == "plain"
    notebook = Notebook(tmp_path / ".letta", PLAIN if plain else LETTA, LETTA_MODEL="demo")
    if plain:
        assert notebook.run("%load_ext letta_kernel").status == "ok"
    notebook.run("from letta_kernel import Agent\nada = Agent('ada')")
    yield notebook
    notebook.close()


def test_errors_of_plain_calls_are_one_line(opened: Notebook) -> None:
    for code, kind, said in (
        ("x = 1\nada.memory['persno']", "NotFoundError", "Did you mean 'persona'?"),
        ("Agent('bob', style='odd')", "InvalidInputError", "'native' or 'heartbeat'"),
        ("Agent('bob', modle='demo')", "InvalidInputError", "Did you mean 'model'?"),
        (
            "def ask():\n    ada.memory['human'] = 'x' * 50_000\nask()",
            "InvalidInputError",
            "20,000",
        ),
    ):
        ran = opened.run(code)
        assert ran.status == "error"
        assert ran.ename == kind
        plain = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(ran.traceback))
        assert said in plain
        assert "\n" not in plain, plain
        assert f"{kind} (line {2 if code[0] in 'xd' else 1}): " in plain
    assert opened.run("1 + 1").text.strip() == "2"


def test_the_stop_button_ends_a_plain_call_with_one_line(opened: Notebook, tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    code = (
        "import pathlib, time\n"
        "def wait_long() -> str:\n"
        "    '''Wait long.'''\n"
        f"    pathlib.Path({str(waiting)!r}).touch()\n"
        "    time.sleep(50)\n"
        "    return ''\n"
        "ada.add_tool(wait_long)"
    )
    assert opened.run(code).status == "ok"
    request = opened.send("ada.send('Please call wait_long.')")
    ran = opened.finish(request, when=lambda _: waiting.exists(), then=opened.interrupt)
    assert ran.status == "error"
    assert ran.ename == "Stopped"
    assert len(ran.traceback) == 1
    assert "what was said and done so far is kept" in ran.traceback[0]
