"""The sandbox: what a tool there can see and do, and that nothing of it harms or outlives the call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from letta_kernel.errors import ToolError
from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.tools import cells
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.sandbox import ResourceLimits, Sandbox

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the sandbox needs fork")
MB = 1024 * 1024


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(ResourceLimits(seconds=20, memory=400 * MB, file_size=5 * MB, processes=20))
    yield made
    made.close()


def source(body: str, signature: str = "", before: str = "", start: str = "def") -> str:
    inside = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f'{before}\n{start} f({signature}):\n    """Do it."""\n{inside}\n'


def run(
    sandbox: Sandbox, body: str, signature: str = "", kwargs: Any = None, **more: Any
) -> Outcome:
    own = {name: more.pop(name) for name in ("time_limit", "return_limit") if name in more}
    text = source(body, signature, more.pop("before", ""), more.pop("start", "def"))
    return sandbox.run(Tool(name="f", source=text, runs_in="sandbox", **own), kwargs or {}, **more)


def until(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


# -- what a tool can do ----------------------------------------------------------------------------


def test_arguments_arrive_as_what_they_are(sandbox: Sandbox) -> None:
    outcome = run(
        sandbox,
        "return [day.year, pet.name, type(pet).__name__]",
        "day: datetime.date, pet: Pet",
        {"day": "2024-02-29", "pet": {"name": "Rex"}},
        before="import datetime\nfrom pydantic import BaseModel\nclass Pet(BaseModel):\n    name: str\n",
    )
    assert outcome == Outcome("ok", '[2024, "Rex", "Pet"]')


def test_arguments_are_checked_there_too(sandbox: Sandbox) -> None:
    outcome = run(sandbox, "return 1", "x: int", {"x": "many", "y": 1})
    assert outcome.status == "error"
    assert "'x' should be a valid integer" in outcome.text
    assert "'y' is not one of its arguments" in outcome.text


def test_output_and_progress_come_as_they_are_made(sandbox: Sandbox) -> None:
    pieces: list[tuple[str, str]] = []
    outcome = run(
        sandbox,
        """
        print("out")
        print("err", file=sys.stderr)
        os.write(1, "öäü".encode())
        subprocess.run(["echo", "child"])
        yield "half way"
        return "done"
        """,
        before="import os, subprocess, sys",
        on_output=lambda stream, text: pieces.append((stream, text)),
    )
    assert outcome.text == "done"
    assert "".join(text for stream, text in pieces if stream == "stdout") == "out\nöäüchild\n"
    assert ("stderr", "err\n") in pieces
    assert ("progress", "half way") in pieces


def test_async_tools_and_renamed_ones(sandbox: Sandbox) -> None:
    assert (
        run(
            sandbox, "await asyncio.sleep(0); return 3", before="import asyncio", start="async def"
        ).text
        == "3"
    )
    renamed = source("return 4", before='from letta_kernel import tool\n\n@tool(name="other")')
    more = renamed + '\ndef last():\n    """Not this."""\n'
    assert sandbox.run(Tool(name="other", source=more), {}).text == "4"


def test_an_image_comes_back_and_html_does_not(sandbox: Sandbox) -> None:
    outcome = run(
        sandbox,
        """
        class Shown:
            def _repr_mimebundle_(self):
                return {"image/png": "aGk=", "text/html": "<script>alert(1)</script>"}
        return Shown()
        """,
    )
    assert outcome.display is not None
    assert outcome.display["image/png"] == "aGk="
    assert "text/html" not in outcome.display


def test_an_exception_has_its_line_and_the_authors_traceback(sandbox: Sandbox) -> None:
    outcome = run(sandbox, 'raise ValueError("bad")')
    assert (outcome.status, outcome.error) == ("error", "ValueError: bad")
    assert outcome.traceback is not None
    assert 'raise ValueError("bad")' in outcome.traceback
    assert "letta_kernel" not in outcome.traceback


def test_source_that_cannot_run_says_why(sandbox: Sandbox) -> None:
    outcome = run(sandbox, "return 1", before="import no_such_package_anywhere")
    assert "its source cannot be run: ModuleNotFoundError" in outcome.text


def test_agent_state_is_a_copy_read_by_attributes(sandbox: Sandbox) -> None:
    state = {"name": "ada", "settings": {"tone": "dry"}, "tags": [{"a": 1}]}
    body = "agent_state.name; return [agent_state.name, agent_state.settings.tone, agent_state.tags[0].a]"
    assert run(sandbox, body, "agent_state", agent_state=state).text == '["ada", "dry", 1]'
    assert run(sandbox, "return agent_state is None", "agent_state: object").text == "True"


def test_results_keep_to_the_tools_limit(sandbox: Sandbox) -> None:
    assert len(run(sandbox, 'return "x" * 1_000_000', return_limit=500).text) <= 500


# -- what it sees ----------------------------------------------------------------------------------


def test_it_sees_only_the_environment_it_is_given(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    seen = json.loads(
        run(sandbox, "return dict(os.environ)", before="import os", environment={"MINE": "1"}).text
    )
    assert seen["MINE"] == "1"
    assert "OPENAI_API_KEY" not in seen
    assert "sk-secret" not in json.dumps(seen)
    fresh = Sandbox()  # also where the parent had the secret before the warm process began
    try:
        body = "return [open('/proc/self/environ').read(), open(f'/proc/{os.getppid()}/environ').read()]"
        if sys.platform == "linux":
            assert "sk-secret" not in run(fresh, body, before="import os").text
    finally:
        fresh.close()


def test_it_does_not_carry_this_process_inside(sandbox: Sandbox) -> None:
    body = """
    loaded = [name for name in ("duckdb", "lancedb", "litellm", "IPython", "ipykernel") if name in sys.modules]
    inherited = [int(one) for one in os.listdir("/proc/self/fd")] if os.path.isdir("/proc/self/fd") else [3]
    return [loaded, max(inherited) < 8]
    """
    assert run(sandbox, body, before="import os, sys").text == "[[], true]"


def test_each_call_has_a_fresh_scratch_directory_that_goes(sandbox: Sandbox) -> None:
    body = """
    listing = os.listdir()
    open("note", "w").write("x")
    return [os.getcwd(), os.environ["HOME"], tempfile.gettempdir(), listing]
    """
    first = json.loads(run(sandbox, body, before="import os, tempfile").text)
    second = json.loads(run(sandbox, body, before="import os, tempfile").text)
    assert first[0] == first[1] == first[2]
    assert first[0] != second[0]
    assert first[3] == second[3] == []
    assert until(lambda: not Path(first[0]).exists() and not Path(second[0]).exists())


# -- what it cannot harm ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("sys.exit(2)", "SystemExit: 2"),
        ("def deep(n): return deep(n + 1)\nsys.setrecursionlimit(10**9)\ndeep(0)", ""),
        ("blocks = []\nwhile True: blocks.append(bytearray(50_000_000))", "Memory"),
        ('open("big", "wb").write(b"0" * 50_000_000)', "File too large"),
        ("files = [open(os.devnull) for _ in range(100_000)]", "Too many open files"),
        ('os.write(3, b"\\xff\\xff\\xff\\xff not an answer")\ntime.sleep(5)', "no answer"),
        ('os.write(3, b"\\0\\0\\0\\3[1]")\ntime.sleep(5)', "no answer"),
        ("os.close(3)\nreturn 1", ""),
    ],
    ids=lambda one: one.splitlines()[0][:30] if one else "any",
)
def test_a_tool_that_breaks_is_one_error_line_and_the_next_call_works(
    sandbox: Sandbox, body: str, said: str
) -> None:
    outcome = run(sandbox, body, before="import ctypes, os, signal, sys, time")
    assert outcome.status == "error"
    assert outcome.error is not None
    assert "\n" not in outcome.error
    assert said in outcome.error
    assert run(sandbox, "return 1").text == "1"


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "time.sleep(100)",
        "signal.pthread_sigmask(0, range(1, 32))\nwhile True: pass",
    ],
)
def test_a_loop_ends_at_its_time_limit(sandbox: Sandbox, body: str) -> None:
    started = time.monotonic()
    outcome = run(sandbox, body, before="import signal, time", time_limit=0.5)
    assert "longer than its limit of 0.5 seconds" in outcome.text
    assert time.monotonic() - started < 10


def test_a_gigabyte_of_output_is_counted_not_kept(sandbox: Sandbox) -> None:
    pieces: list[str] = []
    before = psutil.Process().memory_info().rss
    outcome = run(
        sandbox,
        'piece = b"x" * 1_000_000\nfor _ in range(1_000): os.write(1, piece)\nreturn "done"',
        before="import os",
        on_output=lambda stream, text: pieces.append(text),
    )
    assert outcome.text == "done"
    assert sum(map(len, pieces)) < 300_000
    assert "more characters of output" in pieces[-1]
    assert psutil.Process().memory_info().rss - before < 100 * MB


def marked(name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if name in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_fork_bomb_ends_with_all_its_processes(sandbox: Sandbox) -> None:
    body = """
    while True:
        os.fork()
    """
    outcome = run(sandbox, body, before="import os")
    assert "more than 20 processes" in outcome.text
    assert sandbox._process is not None
    warm = psutil.Process(sandbox._process.pid)
    assert until(lambda: not warm.children(recursive=True))
    assert run(sandbox, "return 1").text == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="leaving the group is only seen on Linux")
def test_background_processes_end_with_the_call(sandbox: Sandbox) -> None:
    mark = f"letta-mark-{os.getpid()}"
    body = f"""
    for daemon in (False, True):
        command = [sys.executable, "-c", "import time; time.sleep(60)", {mark!r}]
        subprocess.Popen(command, start_new_session=daemon)
    if os.fork() == 0:  # the classic double fork
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])
        os._exit(0)
    time.sleep(0.3)
    return "started"
    """
    assert run(sandbox, body, before="import os, subprocess, sys, time").text == "started"
    assert until(lambda: not marked(mark))


def test_cancelling_ends_the_call_and_its_processes(sandbox: Sandbox) -> None:
    cancel = Cancel()
    mark = f"letta-cancel-{os.getpid()}"
    threading.Timer(0.5, cancel.cancel).start()
    body = f'subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])'
    assert (
        run(sandbox, body, before="import subprocess, sys", cancel=cancel).status == "interrupted"
    )
    assert until(lambda: not marked(mark))


# -- the warm process ------------------------------------------------------------------------------


def test_calls_from_several_threads_at_once(sandbox: Sandbox) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        found[number] = run(
            sandbox, "time.sleep(0.1); return n * n", "n: int", {"n": number}, before="import time"
        ).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: str(number * number) for number in range(8)}


def test_it_comes_back_when_its_warm_process_was_killed() -> None:
    sandbox = Sandbox()
    try:
        assert run(sandbox, "return 1").text == "1"
        assert sandbox._process is not None
        os.kill(sandbox._process.pid, signal.SIGKILL)
        sandbox._process.wait()
        assert run(sandbox, "return 2").text == "2"
    finally:
        sandbox.close()


def test_nothing_stays_when_this_side_is_killed() -> None:
    mark = f"letta-orphan-{os.getpid()}"
    script = textwrap.dedent(f"""
        from letta_kernel.records import Tool
        from letta_kernel.tools.sandbox import Sandbox
        source = '''
        import subprocess, sys
        def f():
            "Do it."
            subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])
        '''
        Sandbox().run(Tool(name="f", source=source), {{}})
    """).replace("        ", "")
    script = script.replace('"Do it."', '    "Do it."').replace(
        "subprocess.run", "    subprocess.run"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    assert until(lambda: marked(mark), 30)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert until(lambda: not marked(mark) and not any(one.is_running() for one in children))


def test_the_stop_button_passes_through_and_ends_the_call() -> None:
    mark = f"letta-stop-{os.getpid()}"
    body = f'subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])'
    text = source(body, before="import subprocess, sys")
    script = textwrap.dedent(f"""
        from letta_kernel.records import Tool
        from letta_kernel.tools.sandbox import default_sandbox
        from letta_kernel.tools.execute import Executor
        try:
            Executor().run(Tool(name="f", source={text!r}), {{}})
        except KeyboardInterrupt:
            again = Tool(name="f", source='def f():\\n    "F."\\n    return 7\\n')
            print("stopped", Executor().run(again, {{}}).text)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert until(lambda: marked(mark), 30)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped 7\n"
    assert until(lambda: not marked(mark))


# -- dependencies ----------------------------------------------------------------------------------


def test_dependencies_are_read_and_checked_before_anything_runs(sandbox: Sandbox) -> None:
    block = (
        '# /// script\n# requires-python = ">=3.11"\n# dependencies = [\n'
        '#   "no-such-package-anywhere>=2",\n# ]\n# ///'
    )
    with pytest.raises(
        ToolError, match=r"f needs no-such-package-anywhere>=2 \(not installed\)\. Install '"
    ):
        run(sandbox, "return 1", before=block)
    before = 'from letta_kernel import tool\n@tool(dependencies=["pydantic<1", "pytest"])'
    with pytest.raises(ToolError, match=r"pydantic<1 \(.* is installed\)"):
        run(sandbox, "return 1", before=before)
    fine = source(
        "return 1", before='@tool(dependencies=["pydantic>=2", "nothing; python_version < \'3\'"])'
    )
    assert cells.missing(cells.declared(fine)) is None


@pytest.mark.parametrize("text", ["not a requirement!", ">=3"])
def test_a_requirement_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ToolError, match="no requirement"):
        cells.missing([text])


def test_a_broken_block_is_told() -> None:
    with pytest.raises(ToolError, match="not valid TOML"):
        cells.declared("# /// script\n# dependencies = [\n# ///\n")
