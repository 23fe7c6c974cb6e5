"""Everything a kernel must do, by Jupyter's own test suite; and that it starts as light as IPython."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import IPython
import jupyter_kernel_test
import pytest
from forked_kernels import LETTA, PLAIN
from jupyter_core import paths
from kernel_notebook import Notebook

HEAVY = ["litellm", "lancedb", "pyarrow", "duckdb", "pydantic", "wordllama", "numpy", "fastapi"]


@pytest.fixture(scope="class", autouse=True)
def _kernelspec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("data") / "kernels" / "letta-under-test"
    folder.mkdir(parents=True)
    spec = {"argv": LETTA, "display_name": "Letta", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder.parent.parent))
        patch.setenv("LETTA_HOME", str(folder / "home"))
        assert str(folder.parent.parent) in paths.jupyter_path()
        yield


class TestKernel(jupyter_kernel_test.KernelTests):
    def execute_helper(self, *args: Any, **named: Any) -> Any:
        """Wait longer for each output than a tenth of a second: machines may be busy."""
        channel = self.kc.iopub_channel
        get, channel.get_msg = channel.get_msg, lambda timeout: get(timeout=10)
        try:
            return super().execute_helper(*args, **named)
        finally:
            channel.get_msg = get

    kernel_name = "letta-under-test"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = (
        {"text": "zi", "matches": {"zip"}},
        {"text": "%agent mem", "matches": {"memory"}},
    )
    complete_code_samples = ("1", "print('hello')", "%agent list", "%%agent\nHello?\n\n")
    incomplete_code_samples = ("def f():", "x = [1,")
    invalid_code_samples = ("import = 7",)
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('oops')"
    code_execute_result = (
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    )
    code_display_data = (
        {
            "code": "from IPython.display import display, HTML; display(HTML('<b>x</b>'))",
            "mime": "text/html",
        },
    )
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


def test_nothing_heavy_is_imported_at_start(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", anew=True)
    try:
        # One message, before the background imports can have begun.
        ran = notebook.run(f"import sys; [name for name in {HEAVY} if name in sys.modules]")
        ours = notebook.run("sorted(n for n in sys.modules if n.startswith('letta_kernel'))")
    finally:
        notebook.close()
    assert ran.text.strip() == "[]"
    assert len(ours.text.split(",")) <= 9  # the version is asked for with the banner


def test_ipython_and_ipykernel_are_whole(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", anew=True)
    try:
        info = notebook.client.kernel_info(reply=True, timeout=20)["content"]
        assert info["implementation"] == "letta-kernel"
        assert info["implementation_version"] == IPython.__version__
        assert info["language_info"]["name"] == "python"
        assert {"debugger", "kernel subshells"} <= set(info["supported_features"])
        assert notebook.run("import asyncio\nawait asyncio.sleep(0, 'awaited')").text.strip() == (
            "'awaited'"
        )
        assert notebook.run("%%capture said\nprint('x')").status == "ok"
        assert notebook.run("%timeit -n1 -r1 pass").status == "ok"
        asked = notebook.run("input('name? ')", answers=["Kim"])
        assert asked.text.strip() == "'Kim'"
        request = notebook.send("print('go')\nwhile True: pass")
        ran = notebook.finish(request, when=lambda r: "go" in r.text, then=notebook.interrupt)
        assert ran.ename == "KeyboardInterrupt"
        assert "letta" not in "".join(ran.traceback)
    finally:
        notebook.close()


def test_a_cell_of_a_subshell_gives_two_signs_beside_the_main_one(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", anew=True)
    try:
        client = notebook.client
        asked = client.session.msg("create_subshell_request", {})
        client.control_channel.send(asked)
        made = client.get_control_msg(timeout=20)["content"]["subshell_id"]
        main = notebook.send("import time\ntime.sleep(0.5)")
        beside = client.session.msg("execute_request", {"code": "x = 1", "silent": False})
        beside["header"]["subshell_id"] = made
        client.shell_channel.send(beside)
        signs: dict[str, list[str]] = {main: [], beside["header"]["msg_id"]: []}
        while any(said[-1:] != ["idle"] for said in signs.values()):
            message = client.get_iopub_msg(timeout=20)
            request = message["parent_header"].get("msg_id")
            if message["msg_type"] == "status" and request in signs:
                signs[request].append(message["content"]["execution_state"])
        assert list(signs.values()) == [["busy", "idle"], ["busy", "idle"]]
    finally:
        notebook.close()


def test_the_extension_in_a_plain_kernel(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", PLAIN, anew=True, LETTA_MODEL="demo")
    try:
        assert notebook.run("%agent list").status == "error"
        assert notebook.run("%load_ext letta_kernel").status == "ok"
        assert notebook.run("%load_ext letta_kernel").status == "ok"
        assert notebook.run("%reload_ext letta_kernel").status == "ok"
        ran = notebook.run(
            'def double(n: int) -> int:\n    """Double a number.\n\n    Args:\n'
            '        n: The number.\n    """\n    return n * 2',
            "cell",
        )
        assert ran.text.strip() == ""  # nobody has asked for an agent yet
        ran = notebook.run("%%agent\nDouble 21, please.")
        assert ran.status == "ok"
        assert ran.text.count("with double") == 1  # loaded twice, said once
        assert ran.run["footer"]["stop_reason"] == "end_turn"
        assert "double" in notebook.run("%agent tools").text
        assert notebook.complete("%agent mem") == ["memory"]
    finally:
        notebook.close()


def test_install_writes_an_absolute_interpreter(tmp_path: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "letta_kernel.cli", "install", "--prefix", str(tmp_path)]
    command += ["--name", "letta-here", "--display-name", "Letta here", "--env", "LETTA_HOME=/x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "share" / "jupyter" / "kernels" / "letta-here"
    assert str(folder) in done.stdout
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["argv"] == LETTA
    assert spec["display_name"] == "Letta here"
    assert spec["env"] == {"LETTA_HOME": "/x"}
    assert spec["language"] == "python"
    bad = subprocess.run(
        [*command[:4], "--name", "a b"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert len(bad.stderr.strip().splitlines()) == 1
