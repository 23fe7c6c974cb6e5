"""Tools are the functions as they are now: silent until asked, changed in every way, of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer


def offered(notebook: Notebook, server: ScriptedServer, name: str) -> dict[str, Any]:
    """The parameters the model is offered for a tool now."""
    server.say("Yes.")
    notebook.run("%%agent\nHello?")
    tools = {one["function"]["name"]: one["function"] for one in server.requests[-1]["tools"]}
    return dict(tools[name]["parameters"]["properties"]) if name in tools else {}


def called(notebook: Notebook, server: ScriptedServer, name: str, **arguments: Any) -> str:
    """What the tool gives when the model calls it now."""
    server.call(name, arguments)
    server.say("Done.")
    (item,) = notebook.run("%%agent\nGo.").items("tool_call")
    assert item["runs_in"] == "notebook"
    return str(item["result"])


@pytest.fixture(scope="module")
def station(notebook: Notebook) -> Notebook:
    notebook.run("%agent new station")
    notebook.run("from letta_kernel import Agent, tool\nstation_agent = Agent('station')")
    return notebook


def test_a_notebook_without_agents_hears_nothing_of_tools(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.env["JPY_SESSION_NAME"] = "silent.ipynb"
    notebook.restart()
    cells = [
        'def helper(a, b: "Nowhere"):\n    """Help."""\n    return a',
        'def echo(word):\n    """Say it."""\n    return word',
        'def send_message(x):\n    """Send."""',
        "del helper",
        "from letta_kernel import tool\n@tool\ndef bare(x=1.5):\n    return x",
        "tool(max)",
        "shout = tool(str.upper)",
    ]
    for cell in cells:
        ran = notebook.run(cell)
        assert ran.status == "ok"
        assert [d for d in ran.displays if "max" not in str(d) and "tool" not in str(d)] == []
        assert ran.stdout == ran.stderr == ""
    made = notebook.run("%agent new late")
    assert "bare" in made.text
    assert "echo" in made.text
    assert "not a tool: max (it does not tell its parameters" in made.text
    assert offered(notebook, server, "bare") == {"x": {"type": "number", "description": ""}}
    assert called(notebook, server, "echo", word="hi") == "hi"


def test_what_cannot_be_a_tool_is_said_once_in_one_line(station: Notebook) -> None:
    cell = 'def plot(frame: "DataFrame", title: str):\n    """Draw."""\n    return title'
    said = station.run(cell, "plot")
    (line,) = said.text.strip().splitlines()
    assert "not a tool: plot (parameter 'frame': the name 'DataFrame' is not known" in line
    assert station.run(cell, "plot").text.strip() == ""
    mended = station.run(cell.replace('"DataFrame"', "list"), "plot")
    assert "station can call: plot(frame, title)" in mended.text
    assert "not a tool: plot" in station.run(cell, "plot").text
    assert station.run("def no_words(x):\n    return x").text.strip() == ""
    words = station.run("@tool\ndef no_words(x, n=2):\n    return x * n")
    assert "station can call: no_words(x, n)" in words.text


CHANGES = [
    ("exec('def f(word, times=2):\\n    return word * times')", "aa", {"word", "times"}),
    ("def other(word, loud=False):\n    return word.upper()\nf = other", "A", {"word", "loud"}),
    (
        "import functools\n"
        "def twice(g):\n"
        "    @functools.wraps(g)\n"
        "    def inner(*args, **kwargs):\n"
        "        return 2 * g(*args, **kwargs)\n"
        "    return inner\n"
        "f = twice(f)",
        "AA",
        {"word", "loud"},
    ),
    (
        "def plain(g):\n    return lambda *args, **kwargs: '<' + g(*args, **kwargs) + '>'\nf = plain(f)",
        "<AA>",
        {"word", "loud"},
    ),
    ("f = lambda word: word + '!'", "a!", {"word"}),
    ("f.__code__ = (lambda word: word + '?').__code__", "a?", {"word"}),
    (
        "f.__defaults__ = (3,)\nf.__code__ = (lambda word, n: word * n).__code__",
        "aaa",
        {"word", "n"},
    ),
    ("if True:\n    def f(word, *rest):\n        return word + '/'", "a/", {"word", "rest"}),
]


def test_a_function_is_what_it_is_now(station: Notebook, server: ScriptedServer) -> None:
    station.run('def f(word: str) -> str:\n    """Say it."""\n    return word', "f")
    assert called(station, server, "f", word="a") == "a"
    for cell, result, parameters in CHANGES:
        ran = station.run(cell)
        assert ran.status == "ok", cell
        assert set(offered(station, server, "f")) == parameters, cell
        assert called(station, server, "f", word="a") == result, cell
    server.call("f", {"word": "a", "loud": True})
    server.say("Done.")
    same_cell = (
        "exec('def f(word, loud=False):\\n    return [word, loud]')\nstation_agent.send('Go.')"
    )
    (item,) = station.run(same_cell).items("tool_call")
    assert item["result"] == '["a", true]'
    assert "station no longer has f" in station.run("f = 3").text
    assert offered(station, server, "f") == {}


def test_a_module_reloaded_or_patched(
    station: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    module = tmp_path / "birdbook.py"
    module.write_text('def count(bird: str):\n    """Count."""\n    return "one " + bird\n')
    station.run(
        f"import sys, importlib\nsys.path.insert(0, {str(tmp_path)!r})\nimport birdbook\n"
        "from birdbook import count\nsys.dont_write_bytecode = True"
    )
    assert "station can call: count(bird)" in station.run("tool(count)").text
    assert called(station, server, "count", bird="tern") == "one tern"
    module.write_text(
        'def count(bird: str, year: int = 2024):\n    """Count."""\n    return f"{year} {bird}"\n'
    )
    station.run("importlib.invalidate_caches()\nimportlib.reload(birdbook)")
    assert set(offered(station, server, "count")) == {"bird", "year"}
    assert called(station, server, "count", bird="tern") == "2024 tern"
    station.run("birdbook.count = lambda bird: 'patched ' + bird")
    assert called(station, server, "count", bird="tern") == "patched tern"
    assert set(offered(station, server, "count")) == {"bird"}
    assert "station no longer has count" in station.run("del birdbook.count").text
    station.run("importlib.reload(birdbook)\nstation_agent.add_tool(birdbook.count)")
    assert called(station, server, "count", bird="auk") == "2024 auk"
    station.run("del birdbook.count")
    assert "count is stale: there is no such function in birdbook any more" in called(
        station, server, "count", bird="auk"
    )


STATION = '''
class Station:
    def __init__(self, place):
        self.place = place

    def temperature(self, hour: int = 12) -> str:
        """How warm it is."""
        return f"{self.place} 7 at {hour}"

    @classmethod
    def known(cls, place: str):
        """Is there a station?"""
        return place == "Oslo"

    @staticmethod
    def unit(short=True):
        return "C" if short else "Celsius"

    def __call__(self, question: str):
        """Ask the station."""
        return f"{self.place}? {question}"

oslo = Station("Oslo")
'''


def test_methods_follow_their_class_or_say_that_they_are_stale(
    station: Notebook, server: ScriptedServer
) -> None:
    station.run(STATION, "station")
    assert "station can call: temperature(hour)" in station.run("tool(oslo.temperature)").text
    assert called(station, server, "temperature", hour=3) == "Oslo 7 at 3"
    station.run(
        "def warm(self, hour: int = 12, unit='C'):\n    return f'{self.place} 30 {unit}'\n"
        "Station.temperature = warm"
    )
    assert set(offered(station, server, "temperature")) == {"hour", "unit"}
    assert called(station, server, "temperature") == "Oslo 30 C"
    station.run(STATION + "\ntool(oslo.temperature)", "station")
    assert called(station, server, "temperature") == "Oslo 7 at 12"
    station.run(STATION.partition("oslo =")[0])  # the same class once more: the same code
    assert called(station, server, "temperature") == "Oslo 7 at 12"
    ran = station.run(STATION.partition("oslo =")[0].replace("7 at", "8 at"))
    (line,) = ran.text.strip().splitlines()
    assert "temperature is stale: Station was defined anew" in line
    assert station.run("x = 1").text.strip() == ""
    assert called(station, server, "temperature").startswith("temperature is stale")


KINDS = [
    ("tool(oslo)", "oslo", {"question": "warm?"}, "Oslo? warm?"),
    ("tool(Station.known)", "known", {"place": "Oslo"}, "True"),
    ("tool(Station.unit)", "unit", {"short": False}, "Celsius"),
    ("import functools\nlate = tool(functools.partial(oslo.temperature, hour=23))", "temperature", {},
     "Oslo 7 at 23"),
    ("double = tool(lambda n=2: n * 2)", "double", {"n": 4}, "8"),
    ("import math\ntool(math.sqrt)", "sqrt", {"x": 16}, "4.0"),
    ("tool(name='size_of')(len)", "size_of", {"obj": [1, 2]}, "2"),
    ("station_agent.add_tool(oslo.temperature)", "temperature", {"hour": 5}, "Oslo 7 at 5"),
    ("station_agent.add_tool(tool(name='noon')(oslo.temperature))", "noon", {}, "Oslo 7 at 12"),
    ("def make():\n    @tool\n    def inner(x: int):\n        return x + 1\n    return inner\ninc = make()",
     "inner", {"x": 1}, "2"),
]  # fmt: skip

REFUSED = [
    ("station_agent.add_tool(lambda x: x)", "a lambda has no name"),
    ("station_agent.add_tool(max)", "max: it does not tell its parameters"),
    ("station_agent.add_tool(Station.temperature)", "it is a method and needs its Station"),
    ("station_agent.add_tool(3)", "3 cannot be called"),
    ("tool(3)", "marks what can be called"),
    ("def send_message(x):\n    pass\nstation_agent.add_tool(send_message)", "built-in tool"),
]


def test_everything_that_can_be_called_does_or_says_why_not_in_one_line(
    station: Notebook, server: ScriptedServer
) -> None:
    station.run(STATION, "station")
    for cell, name, arguments, result in KINDS:
        ran = station.run(cell)
        assert ran.status == "ok", ran.text
        assert called(station, server, name, **arguments) == result, cell
    for cell, said in REFUSED:
        ran = station.run(cell)
        assert ran.status == "error"
        assert said in ran.evalue, ran.evalue
        assert len(ran.evalue.splitlines()) == 1
        assert len(ran.traceback) == 1, ran.traceback
    quiet: Ran = station.run("tool(min)")
    assert quiet.status == "ok"
    assert "not a tool: min" in quiet.text
    assert "no longer has double" in station.run("del double").text


def test_the_person_who_must_be_asked_stays_asked(
    station: Notebook, server: ScriptedServer
) -> None:
    station.run(
        "@tool(requires_approval=True)\ndef launch(where='sea'):\n    return where", "launch"
    )
    station.run("import functools\nlaunch = functools.wraps(launch)(lambda **k: 'wrapped')")
    station.run("hidden = launch\nlaunch = lambda *a, **k: hidden(*a, **k)")
    station.run("tool(hidden)")
    service = "station_agent.service.tools.list('station')"
    asked = station.run(f"print([t.requires_approval for t in {service} if t.name == 'launch'])")
    assert asked.stdout == "[True]\n"


def test_generators_give_their_items(station: Notebook, server: ScriptedServer) -> None:
    station.run(
        "import itertools\n"
        'def count(n: int):\n    """Count."""\n    yield from range(n)\n'
        'def total(n: int):\n    """Add."""\n    yield 1\n    return n\n'
        'async def later(n: int):\n    """Count later."""\n    for one in range(n):\n        yield one\n'
        'def endless():\n    """Never end."""\n    yield from itertools.count()\n'
        'def pairs(n: int):\n    """Pair."""\n    return zip(range(n), "abc")\n'
    )
    assert called(station, server, "count", n=3) == "[0, 1, 2]"
    assert called(station, server, "count", n=0) == "[]"
    assert called(station, server, "total", n=5) == "5"
    assert called(station, server, "later", n=2) == "[0, 1]"
    assert called(station, server, "pairs", n=2) == '[[0, "a"], [1, "b"]]'
    assert "the generator was stopped after 10,000 items" in called(station, server, "endless")


def test_agents_have_functions_of_one_name_with_schemas_of_their_own(
    station: Notebook, server: ScriptedServer
) -> None:
    for agent, line in (
        ("north", "def aim(self, degrees: int): return degrees * 2"),
        ("south", "def aim(self, place: str): return place.upper()"),
    ):
        station.run(f"%agent new {agent}")
        station.run(f"class At_{agent}:\n    {line}\nat_{agent} = At_{agent}()")
        assert station.run(f"Agent({agent!r}).add_tool(at_{agent}.aim)").status == "ok"
    for agent, given, result in (
        ("north", {"degrees": 4}, "8"),
        ("south", {"place": "Oslo"}, "OSLO"),
    ):
        server.call("aim", given)
        server.say("Aimed.")
        ran = station.run(f"%%agent {agent}\nAim")
        assert ran.items("tool_call")[0]["result"] == result
        offered = {one["function"]["name"]: one["function"] for one in server.requests[-1]["tools"]}
        assert list(offered["aim"]["parameters"]["properties"]) == list(given)
