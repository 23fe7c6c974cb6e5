"""What a person waits for: a first answer, a kernel at rest, a turn after a pause, the worst of many turns.

    python benchmarks/human.py [--rounds N] [--json]

A cold process to its first answer is measured beside the openai client, a kernel at rest beside ipykernel,
a turn after a second of silence beside one without, the worst of many turns beside their median; interleaved in
one run; medians and ratios.
The model is the tests' scripted one, on loopback. Memory is the largest of a process, or what it has at rest;
CPU is the seconds it has used until then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from kernel_start import KERNELS, running

HERE = Path(__file__).parent
REST = 4.0  # seconds a kernel is left alone before it is looked at
ANSWER = {
    "openai": (
        "import openai\n"
        "stream = openai.OpenAI().chat.completions.create(\n"
        "    model='scripted', stream=True, messages=[{'role': 'user', 'content': 'hi'}])\n"
        "print(''.join(c.choices[0].delta.content or '' for c in stream if c.choices), flush=True)"
    ),
    "letta": "from letta_kernel import Agent\nprint(Agent('x').send('hi'), flush=True)",
}
PAUSE = 1.0
TURNS = f"""
import gc, json, os, sys, tempfile, time
import duckdb, httpx, psutil
from letta_kernel import Agent
from letta_kernel.hooks import users_code

users_code.told_apart()  # as a kernel between cells and a server are
agent = Agent("x")
agent.send("hi")
client, url = httpx.Client(), os.environ["OPENAI_BASE_URL"] + "/chat/completions"
body = {{"model": "scripted", "stream": True, "messages": [{{"role": "user", "content": "hi"}}]}}
path = os.path.join(tempfile.mkdtemp(dir=os.environ["LETTA_HOME"]), "bare.duckdb")
bare = duckdb.connect(path, config={{"threads": 1}})
bare.execute("CREATE TABLE said (number INT, text TEXT)")

def floor():  # a request, and two commits: what a turn cannot do without
    for _ in range(2):
        bare.execute("BEGIN")
        bare.execute("INSERT INTO said VALUES (1, 'hi')")
        bare.execute("COMMIT")
    with client.stream("POST", url, json=body) as reply:
        for _ in reply.iter_lines():
            pass

def taken(work):
    began, cpu = time.perf_counter(), time.thread_time()
    work()
    return 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - cpu)

turn = lambda: agent.send("hi")
found = {{"pauses": [], "turns": [], "floors": [], "megabytes": []}}
for silence in (0, {PAUSE}) * 12:
    for name, work in (("turn", turn), ("floor", floor)):
        work()
        time.sleep(silence)
        found["pauses"].append((name, silence, *taken(work)))
for number in range(int(sys.argv[1])):
    found["turns"].append(taken(turn))
    found["floors"].append(taken(floor))
    found["megabytes"].append(psutil.Process().memory_info().rss / 1024**2)
print(json.dumps(found))
"""
Figures = dict[str, float]


def environment(home: str, url: str) -> dict[str, str]:
    return {
        **os.environ,
        "LETTA_HOME": f"{home}/.letta",
        "LETTA_MODEL": "openai/scripted",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "key",
    }


def first_answer(code: str, url: str) -> Figures:
    """Run *code* in a process of its own; return the seconds to its answer, its CPU seconds and megabytes."""
    with tempfile.TemporaryDirectory() as home:
        env = environment(home, url)
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert said.strip(), "no answer came"
        assert process.returncode == 0
        megabytes = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "megabytes": megabytes}


def turns(url: str, many: int) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """Return what a turn takes after a second of silence and at once, and what the worst of *many* takes.

    Beside each stands a floor: a request and two commits with DuckDB alone, in the same process.
    """
    with tempfile.TemporaryDirectory() as home:
        printed = subprocess.run(
            [sys.executable, "-c", TURNS, str(many)],
            env=environment(home, url),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    found = json.loads(printed.strip().splitlines()[-1])

    def after(name: str, silence: float) -> Figures:
        taken = [one[2:] for one in found["pauses"] if one[:2] == [name, silence]][1:]
        return {
            "ms": statistics.median(wall for wall, _ in taken),
            "cpu ms": statistics.median(cpu for _, cpu in taken),
        }

    def worst(taken: list[list[float]]) -> Figures:
        wall, cpu = (sorted(one[place] for one in taken) for place in (0, 1))
        late = int(0.99 * (many - 1))
        middle, middle_cpu = statistics.median(wall), statistics.median(cpu)
        figures = {"median ms": middle, "p99 ms": wall[late], "ratio": wall[late] / middle}
        return {**figures, "cpu ms": middle_cpu, "ratio of cpu": cpu[late] / middle_cpu}

    paused = {
        "at once": after("turn", 0),
        "letta": after("turn", PAUSE),
        "floor at once": after("floor", 0),
        "floor": after("floor", PAUSE),
    }
    memory = found["megabytes"]
    early, last = statistics.median(memory[many // 10 : many // 5]), memory[-1]
    return paused, {
        "letta": worst(found["turns"]),
        "floor": worst(found["floors"]),
        "memory": {"early": early, "last": last, "ratio": last / early},
    }


def at_rest(command: list[str]) -> Figures:
    """Return CPU seconds and megabytes of a kernel that has run ``1`` and was then left alone."""
    with tempfile.TemporaryDirectory() as home, running(command, f"{home}/.letta") as manager:
        time.sleep(REST)
        process = psutil.Process(manager.provisioner.pid)
        times = process.cpu_times()
        megabytes = process.memory_info().rss / 1024**2
        return {"cpu": times.user + times.system, "megabytes": megabytes}


def medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--turns", type=int, default=500, help="how many the worst is looked for in"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scripted = [sys.executable, str(HERE.parent / "tests" / "scripted_server.py"), "--port", "0"]
    server = subprocess.Popen(scripted, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for code in ANSWER.values():  # files into the page cache, byte code written
            first_answer(code, url)
        answers: dict[str, list[Figures]] = {name: [] for name in ANSWER}
        kernels: dict[str, list[Figures]] = {name: [] for name in KERNELS}
        for _ in range(options.rounds):
            for name, code in ANSWER.items():
                answers[name].append(first_answer(code, url))
            for name, command in KERNELS.items():
                kernels[name].append(at_rest(command))
        paused, many = turns(url, options.turns)
    finally:
        server.terminate()
        server.wait()
    report = {}
    for title, rounds, peer in (
        ("cold process to first answer", answers, "openai"),
        ("kernel at rest", kernels, "ipykernel"),
        ("turn after a second of silence", {k: [v] for k, v in paused.items()}, "at once"),
    ):
        found = {name: medians(figures) for name, figures in rounds.items()}
        ratios = {name: found["letta"][name] / found[peer][name] for name in found[peer]}
        report[title] = {
            name: {what: round(value, 3) for what, value in figures.items()}
            for name, figures in {**found, "ratio": ratios}.items()
        }
    report["turn after a second of silence"]["ratio of the floor"] = {
        what: round(value / paused["floor at once"][what], 3)
        for what, value in paused["floor"].items()
    }
    report[f"worst of {options.turns} turns"] = {
        name: {what: round(value, 3) for what, value in figures.items()}
        for name, figures in many.items()
    }
    if options.json:
        print(json.dumps(report))
        return
    for title, rows in report.items():
        print(title)
        for name, figures in rows.items():
            print(f"  {name:20}" + "".join(f"{v:>10.2f} {what}" for what, v in figures.items()))


if __name__ == "__main__":
    main()
