"""How long it takes from `git clone` to the first answer of an agent, beside a kernel alone.

``python benchmarks/first_answer.py [--cold] [--json] [--folder DIR]``: clones this repository into a new
folder, runs ``make demo`` there, and counts the seconds until the first answer of an agent is printed. The
floor, measured before it, is a virtual environment with ipykernel, made with uv where it is there, and a first
result of a plain kernel. With ``--cold`` the caches of uv, pip, npm and yarn are new, empty folders, for each
of the two; else they are the machine's. It takes minutes and a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Caches by the variables that say where they are.
CACHES = (
    "UV_CACHE_DIR",
    "PIP_CACHE_DIR",
    "npm_config_cache",
    "YARN_CACHE_FOLDER",
    "YARN_GLOBAL_FOLDER",
)
ANSWERED = re.compile(r"\[\d+ steps? · ")  # a run's last line, which is written with its answer
FLOOR = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
client.execute_interactive("1", timeout=60, output_hook=lambda message: None)
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


def environment(folder: Path, *, cold: bool) -> dict[str, str]:
    """Return the environment of a run, with caches in *folder* if they are to be *cold*."""
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    for name in CACHES if cold else ():
        (folder / name).mkdir(parents=True)
        env[name] = str(folder / name)
    return env


def floor(folder: Path, *, cold: bool) -> float:
    """Return the seconds for an environment with ipykernel and its first result."""
    env, made = environment(folder / "caches", cold=cold), folder / "venv"
    python = made / "bin/python"
    began = time.perf_counter()
    if uv := shutil.which("uv"):
        commands = [
            [uv, "venv", "--quiet", made],
            [uv, "pip", "install", "--quiet", "--python", python],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", made],
            [python, "-m", "pip", "install", "--quiet"],
        ]
    commands[1] += ["ipykernel", "jupyter_client"]
    for command in (*commands, [python, "-c", FLOOR]):
        given = [str(part) for part in command]
        subprocess.run(given, env=env, check=True, cwd=folder, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def first_answer(folder: Path, *, cold: bool) -> tuple[float, float, list[str]]:
    """Return the seconds from the clone to the first answer and to the end, and what the set-up said.

    Raises
    ------
    RuntimeError
        There was no answer.
    """
    env, clone = environment(folder / "caches", cold=cold), folder / "letta-kernel"
    began = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    made = subprocess.Popen(
        ["make", "demo"],
        cwd=clone,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert made.stdout is not None
    answered, steps = 0.0, []
    for line in made.stdout:
        if not answered and ANSWERED.match(line):
            answered = time.perf_counter() - began
        if re.match(r"\d/5 .*: \d+ s$|Everything is in", line):
            steps.append(line.strip())
    if made.wait() or not answered:
        raise RuntimeError(f"make demo ended with {made.returncode}, after: {steps}")
    return answered, time.perf_counter() - began, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="with empty caches")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="where to clone to; a temporary one if not given"
    )
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as one,
        tempfile.TemporaryDirectory(dir=options.folder) as other,
    ):
        alone = floor(Path(one), cold=options.cold)
        answered, ended, steps = first_answer(Path(other), cold=options.cold)
    result = {
        "caches": "cold" if options.cold else "warm",
        "floor_seconds": round(alone, 1),
        "first_answer_seconds": round(answered, 1),
        "demo_seconds": round(ended, 1),
        "ratio": round(answered / alone, 1),
        "uv": bool(shutil.which("uv")),
        "load": round(os.getloadavg()[0], 1),
        "steps": steps,
    }
    if options.json:
        print(json.dumps(result))
        return
    print("\n".join(steps))
    print(f"{result['caches']} caches, load {result['load']}")
    print(f"an environment with ipykernel, first result   {alone:6.1f} s")
    print(
        f"git clone and make demo, first answer         {answered:6.1f} s, {result['ratio']} times that"
    )
    print(f"                         the end              {ended:6.1f} s")


if __name__ == "__main__":
    main()
