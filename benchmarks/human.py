"""What a person waits for and what waits for a person: a first answer, a kernel at rest, a turn after a pause.

    python benchmarks/human.py [--rounds N] [--json]

A cold process to its first answer is measured beside the openai client, a kernel at rest beside ipykernel,
a turn after a second of silence beside one without, interleaved in one run; medians and ratios.
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
import time
from letta_kernel import Agent
from letta_kernel.hooks import users_code

users_code.told_apart()  # as a kernel between cells and a server are
agent = Agent("x")
agent.send("hi")
for silence in (0, {PAUSE}) * 12:
    time.sleep(silence)
    began = time.perf_counter()
    agent.send("hi")
    print(silence, time.perf_counter() - began, flush=True)
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


def turns(url: str) -> dict[str, Figures]:
    """Return the median milliseconds of a turn after a second of silence, and of one right after another."""
    with tempfile.TemporaryDirectory() as home:
        env = environment(home, url)
        code = [sys.executable, "-c", TURNS]
        printed = subprocess.run(
            code, env=env, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    taken: dict[float, list[float]] = {0.0: [], PAUSE: []}
    for line in printed.splitlines()[2:]:  # the first of each
        silence, seconds = line.split()
        taken[float(silence)].append(1000 * float(seconds))
    names = {0.0: "at once", PAUSE: "letta"}
    return {names[silence]: {"ms": statistics.median(each)} for silence, each in taken.items()}


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
        paused = {name: [found] for name, found in turns(url).items()}
    finally:
        server.terminate()
        server.wait()
    report = {}
    for title, rounds, peer in (
        ("cold process to first answer", answers, "openai"),
        ("kernel at rest", kernels, "ipykernel"),
        ("turn after a second of silence", paused, "at once"),
    ):
        found = {name: medians(figures) for name, figures in rounds.items()}
        ratios = {name: found["letta"][name] / found[peer][name] for name in found[peer]}
        report[title] = {
            name: {what: round(value, 3) for what, value in figures.items()}
            for name, figures in {**found, "ratio": ratios}.items()
        }
    if options.json:
        print(json.dumps(report))
        return
    for title, rows in report.items():
        print(title)
        for name, figures in rows.items():
            print(f"  {name:10}" + "".join(f"{v:>10.2f} {what}" for what, v in figures.items()))


if __name__ == "__main__":
    main()
