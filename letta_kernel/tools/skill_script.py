"""Runs a skill's script as ``skill_run`` does, in the sandbox's process."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path

from letta_kernel.tools.outcome import ReportedError

_PROGRAMS = {".py": sys.executable, ".sh": "sh", ".bash": "bash", ".js": "node", ".mjs": "node"}
_MOST = 200_000  # characters of what it prints that are kept


def run(files: dict[str, str], script: str, arguments: list[str]) -> str:
    """Run *script* in a folder of its own that holds *files* (in base64).

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    ReportedError
        It cannot be run, or ended with an exit code that is not 0.
    """
    folder = Path.cwd() / "skill"
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(data))
    suffix = Path(script).suffix
    program = _PROGRAMS.get(suffix)
    if program is None:
        known = ", ".join(_PROGRAMS)
        raise ReportedError(f"{script} is no script that can be run here; these can: {known}.")
    if shutil.which(program) is None:
        raise ReportedError(f"{script} needs {program}, which is not on this machine.")
    process = subprocess.Popen(
        [program, str(folder / script), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    said, length = [], 0
    for line in process.stdout:
        print(line, end="", flush=True)  # a person sees it as it comes
        if length <= _MOST:
            said.append(line[: _MOST - length + 1])
        length += len(line)
    code = process.wait()
    text = "".join(said)
    if length > _MOST:
        text = f"{text[:_MOST]}\n… {length - _MOST:,} characters more"
    if code:
        how = f"{script} ended with exit code {code}"
        raise ReportedError(
            f"{how}:\n{text}" if text.strip() else f"{how} and printed nothing.", how
        )
    return text or "It printed nothing."
