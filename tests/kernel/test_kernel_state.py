"""What belongs to the whole process is the person's: after any number of turns it is as in plain ipykernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forked_kernels import PLAIN
from kernel_notebook import Notebook
from scripted_server import ScriptedServer

# A cell that tells everything a person can see of their process, as text. It looks into a library only where
# it is there: looking must not import one.
SEE = r"""
def _seen():
    import asyncio, decimal, faulthandler, gc, locale, logging, os, random, resource, signal, socket, sys
    import threading, warnings
    def module(name): return sys.modules.get(name)
    def loggers():
        for name, one in sorted(logging.root.manager.loggerDict.items()):
            if isinstance(one, logging.Logger):
                def of_others(things):  # a library sets up its own loggers when it is imported
                    return [t for t in things if type(t) is not logging.NullHandler
                            and not name.lower().startswith(type(t).__module__.lower().split(".")[0])]
                yield (name, one.level, one.disabled, one.propagate, of_others(one.handlers),
                       of_others(one.filters))
    umask = os.umask(0); os.umask(umask)
    numpy = module("numpy")
    return {
        "filters": [tuple(getattr(x, "pattern", x) for x in f) for f in warnings.filters],
        "warn": (warnings.warn.__module__, warnings.showwarning.__module__, warnings.simplefilter.__name__),
        "environment": {k: v for k, v in os.environ.items()},
        "root": (logging.root.level, list(map(str, logging.root.handlers)), logging.root.filters,
                 logging.root.manager.disable, logging.raiseExceptions, logging.getLoggerClass().__name__,
                 logging.getLogRecordFactory().__name__, str(logging.lastResort), logging._srcfile is None),
        "loggers": [l for l in loggers() if l[1:] != (0, False, True, [], []) and l[0] != "psycopg"],
        "folder": os.getcwd(), "umask": umask,
        "signals": [(s.name, repr(signal.getsignal(s))) for s in signal.valid_signals()
                    if isinstance(s, signal.Signals)],
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "hooks": [getattr(h, "__qualname__", type(h).__name__) for h in (sys.excepthook, sys.displayhook,
                  sys.unraisablehook, threading.excepthook)] + [sys.gettrace(), sys.getprofile()],
        "path": list(sys.path), "path hooks": len(sys.path_hooks), "argv": len(sys.argv),
        "policy": type(asyncio.get_event_loop_policy()).__name__,
        "loop": (type(asyncio.get_running_loop()).__name__, asyncio.get_running_loop().get_debug())
                if asyncio._get_running_loop() else None,
        "locale": locale.setlocale(locale.LC_ALL), "random": hash(random.getstate()),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.get_freeze_count(), len(gc.callbacks)),
        "limits": [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT")],
        "fault": faulthandler.is_enabled(), "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(), "timeout": socket.getdefaulttimeout(),
        "decimal": str(decimal.getcontext()), "digits": sys.get_int_max_str_digits(),
        "numpy": numpy and (numpy.geterr(), numpy.get_printoptions(), hash(str(numpy.random.get_state()))),
        "streams": (type(sys.stdout).__name__, type(sys.stderr).__name__, type(sys.stdin).__name__),
        "builtins": sorted(vars(__import__("builtins")))[:200],
    }
import json as _json
print(_json.dumps(_seen(), default=repr))
"""
# Not compared between kernels: other files, other pipes.
OWN = ("environment", "argv", "root", "random", "numpy", "loggers")


@pytest.fixture(scope="module")
def notebook(
    server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    folder = tmp_path_factory.mktemp("project")
    model = {"LETTA_MODEL": "openai/scripted", "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "k"}
    opened = Notebook(folder / ".letta", anew=True, cwd=folder, **model)
    yield opened
    opened.close()


def seen(notebook: Notebook) -> dict[str, Any]:
    import json

    ran = notebook.run(SEE)
    assert ran.status == "ok", ran.text
    return dict(json.loads(ran.stdout))


def test_nothing_of_the_process_changes(notebook: Notebook, server: ScriptedServer) -> None:
    plain = Notebook(notebook.home, PLAIN, notebook.cwd, anew=True)
    try:
        ipykernel = seen(plain)
    finally:
        plain.close()
    before = seen(notebook)
    for what, value in ipykernel.items():
        if what not in OWN:
            assert before[what] == value, what
    server.calls([("archival_memory_insert", {"content": "The boat is blue."})])
    server.say("I kept it.")
    server.fault(500)
    server.say("Hello again")
    notebook.run("%agent new ada")
    for cell in (
        "%%agent\nRemember that the boat is blue.",
        "%%agent\nHello",
        "%agent archival search boat",
        "%agent search boat",
        "%agent plot",
        "%agent memory human Kim",
        "%%agent --model demo\nWhat do you know of me?",
    ):
        assert notebook.run(cell).status == "ok"
    after = seen(notebook)
    until = time.monotonic() + 60  # while a library loads in the background our filter is there
    while "side_effects" in str(after["filters"]) and time.monotonic() < until:
        time.sleep(0.1)
        after = seen(notebook)
    for what, value in before.items():
        if what != "numpy":
            assert after[what] == value, what


LOUD = "import logging\nlogging.basicConfig(level=logging.DEBUG, force=True)"
TOOL = """
import httpx, urllib3
def fetch(url: str) -> str:
    \"\"\"Fetch a page.

    Args:
        url: Where.
    \"\"\"
    logging.debug("said by the tool")
    return str(httpx.get(url + "/models").status_code)
"""


def test_libraries_log_what_the_person_does_and_nothing_of_agents(
    notebook: Notebook, server: ScriptedServer
) -> None:
    assert notebook.run(LOUD).stderr == ""
    try:
        defined = notebook.run(TOOL)
        server.calls([("fetch", {"url": server.url})])
        server.say("Fetched.")
        ran = notebook.run("%%agent\nFetch it.")
        assert ran.answer == "Fetched."
        (call,) = ran.items("tool_call")
        assert call["result"] == "200"
        told = ran.text + str(call)
        assert "said by the tool" in told
        assert told.count("HTTP Request: GET") == 1  # the tool's; the agent's own are not told
        assert "POST" not in told
        quiet = (
            "%agent",
            "%agent list",
            "%agent search boat",
            "%agent archival search boat",
            "%agent runs",
        )
        said = [defined.stderr, *(notebook.run(cell).stderr for cell in quiet)]
        server.say("Hi")
        said.append(notebook.run("%%agent\nHello").stderr)
        assert [line for line in said if "DEBUG" in line or "INFO" in line] == []
        own = notebook.run(f"print(httpx.get({server.url!r} + '/models').status_code)")
        assert "HTTP Request: GET" in own.stderr
        assert "httpcore.connection" in own.stderr
    finally:
        notebook.run("logging.root.handlers.clear(); logging.root.setLevel(logging.WARNING)")


def test_warnings_are_the_persons_and_can_be_errors(
    notebook: Notebook, server: ScriptedServer
) -> None:
    """Also where every warning is an error, agents go on, and the person's code still fails."""
    code = "import pydantic, warnings\nfrom typing_extensions import ReadOnly, TypedDict\n"
    code += "class Types(TypedDict):\n    size: ReadOnly[int]\npydantic.TypeAdapter(Types)"
    assert "ReadOnly" in notebook.run(code).stderr
    assert (
        notebook.run("with warnings.catch_warnings():\n    warnings.simplefilter('error')").status
        == "ok"
    )
    notebook.run("kept = list(warnings.filters)\nwarnings.simplefilter('error')")
    try:
        assert notebook.run("%agent new bo --model deepseek/scripted").status == "ok"
        server.say("Fine.")
        assert notebook.run("%%agent --model openai/scripted\nHello").answer == "Fine."
        assert notebook.run("%%agent --model demo\nRemember that I like tea.").status == "ok"
        assert notebook.run("warnings.warn('mine')").ename == "UserWarning"
    finally:
        notebook.run("warnings.filters[:] = kept\nwarnings._filters_mutated()")


FORK = """
import multiprocessing, os
fork = multiprocessing.get_context("fork")
with fork.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
"""


def test_a_fork_of_the_persons_says_nothing_of_our_libraries(notebook: Notebook) -> None:
    load = "from letta_kernel import lazy_import\nlazy_import.load('litellm')\n"
    loaded = notebook.run(f"{load}import sys\nprint('lancedb' in sys.modules)")
    assert loaded.stdout.split() == ["True"]  # by the tests before
    ran = notebook.run(FORK)
    assert ran.stdout.strip() == "[1, 2]"
    assert "lancedb" not in ran.stderr


def test_litellm_has_the_settings_it_comes_with(notebook: Notebook) -> None:
    names = [
        "drop_params",
        "modify_params",
        "suppress_debug_info",
        "num_retries",
        "client_session",
    ]
    ours = notebook.run(f"import litellm\nprint([getattr(litellm, n) for n in {names}])").stdout
    assert ours.strip() == "[False, False, False, None, None]"
    assert "sync_transport" not in notebook.run("print(sorted(vars(litellm)))").stdout
    assert (
        notebook.run("import random\nrandom.seed(3)\nrandom.random()").text.strip()
        == "0.23796462709189137"
    )


def test_a_notebook_without_agents_loads_nothing_for_them(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", anew=True)
    try:
        heavy = [
            "litellm",
            "lancedb",
            "pyarrow",
            "duckdb",
            "pydantic",
            "wordllama",
            "numpy",
            "fastapi",
        ]
        ran = notebook.run(
            f"import sys, time\ntime.sleep(3)\nprint([n for n in {heavy} if n in sys.modules])"
        )
        assert ran.stdout.strip() == "[]"
    finally:
        notebook.close()
