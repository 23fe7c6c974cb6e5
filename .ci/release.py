"""Builds a release and tries it where it will be used; nothing is uploaded.

    python .ci/release.py [--wheel FILE] [--python PATH …] [--resolution NAME] [--each] [--save]

1. The sdist, and the wheel from the sdist, in ``dist/``; their descriptions are checked as an index would.
2. In an empty environment of each Python, with the newest releases of all dependencies and with the oldest ones
   that ``pyproject.toml`` allows: the command, JupyterLab's extension, a program's types, and the quickstart in
   a kernel. ``--each`` takes each dependency alone at its oldest, the others at their newest.
3. An SBOM (CycloneDX) of what the wheel brings, with licences, beside the wheel.

``--save`` writes the versions that were tried into ``docs/reference/tested-versions.md``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
TRIED = ROOT / "docs/reference/tested-versions.md"
QUICKSTART = ROOT / "notebooks/course/01-quickstart.ipynb"
RESOLUTIONS = ("highest", "lowest-direct")
SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"
TYPED = """
from letta_kernel import Agent

reveal_type(Agent.ask)
text: int = Agent("ada").name
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Build, try, and say what was tried; 1 if something failed."""
    parser = argparse.ArgumentParser(description="Build a release and try it.")
    parser.add_argument("--wheel", type=Path, help="one that was built before")
    parser.add_argument("--resolution", choices=RESOLUTIONS, help="of the two, this alone")
    parser.add_argument(
        "--python", action="append", help="an interpreter to try; those in PATH if not given"
    )
    parser.add_argument(
        "--each", action="store_true", help="each dependency alone at its oldest, too"
    )
    parser.add_argument("--save", action="store_true", help=f"write {TRIED.relative_to(ROOT)}")
    options = parser.parse_args(argv)
    wheel = options.wheel or build()
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, *DIST.glob("*.tar.gz"))
    tried = [
        attempt(wheel, python, resolution)
        for python in options.python or interpreters()
        for resolution in ([options.resolution] if options.resolution else RESOLUTIONS)
    ]
    if options.each:
        for needed in dependencies():
            attempt(wheel, sys.executable, "highest", floor(needed))
    if options.save:
        save(wheel, tried)
    print(f"{wheel.name} works; what comes with it is written in {sbom(wheel).name}")
    return 0


def build() -> Path:
    """Return the wheel that the sdist gives."""
    shutil.rmtree(DIST, ignore_errors=True)
    hatchling = (sys.executable, "-m", "hatchling", "build")
    run(*hatchling, "-t", "sdist", "-d", DIST)
    [sdist] = DIST.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(sdist, folder, filter="data")
        [tree] = Path(folder).iterdir()
        run(*hatchling, "-t", "wheel", "-d", DIST, cwd=tree)
    [wheel] = DIST.glob("*.whl")
    return wheel


def interpreters() -> Iterator[str]:
    """Return the Pythons in PATH that the package says it runs on."""
    here = ""
    for minor in range(11, 20):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", "pass"], capture_output=True).returncode == 0:
            yield found
            here = here or found
    if not here:  # Windows has no such names
        yield sys.executable


def dependencies() -> list[Requirement]:
    """Return what the package needs without any extra."""
    every = [Requirement(line) for line in metadata.requires("letta-kernel") or ()]
    return [needed for needed in every if needed.marker is None]


def floor(needed: Requirement) -> str:
    """Return the oldest release that is allowed, as ``name==version``."""
    [oldest] = [one.version for one in needed.specifier if one.operator == ">="]
    return f"{needed.name}=={oldest}"


def attempt(wheel: Path, python: str, resolution: str, *pins: str) -> dict[str, str]:
    """Install the wheel into an empty environment, use it, and return the versions that are there."""
    with tempfile.TemporaryDirectory(prefix="letta-release-") as folder:
        home = Path(folder)
        run("uv", "venv", "--quiet", "--python", python, home / "env")
        here = home / f"env/{SCRIPTS}/python"
        install = ("uv", "pip", "install", "--quiet", "--python", here)
        # What only the wheel asks for is no direct requirement to a resolver. An old release without a wheel
        # for this Python would be built from source, if a compiler is there: nobody wants that one.
        direct = [str(needed) for needed in dependencies()]
        run(*install, "--only-binary", ":all:", "--resolution", resolution, wheel, *direct, *pins)
        listed = json.loads(
            run("uv", "pip", "list", "--python", here, "--format", "json", "--quiet")
        )
        versions = {one["name"]: one["version"] for one in listed}
        versions["python"] = run(
            here, "-c", "import platform; print(platform.python_version())"
        ).strip()
        print(f"Python {versions['python']}, {resolution}", *pins, "…", flush=True)
        bin_ = home / f"env/{SCRIPTS}"
        told = run(bin_ / "letta-kernel", "--version", cwd=home)
        assert told.strip() == f"letta-kernel {versions['letta-kernel']}", told
        extensions = run(bin_ / "jupyter", "labextension", "list", cwd=home)
        assert "letta-kernel v" in extensions, extensions
        run(here, ROOT / "notebooks/run.py", QUICKSTART, cwd=home)
        if resolution == "highest" and not pins:
            run(*install, "mypy")
            (home / "typed.py").write_text(TYPED)
            checked = subprocess.run(
                [here, "-m", "mypy", "typed.py"], cwd=home, capture_output=True, text=True
            ).stdout
            assert "import-untyped" not in checked, checked
            assert '"str", variable has type "int"' in checked, checked
    return versions


def save(wheel: Path, tried: list[dict[str, str]]) -> None:
    """Write what was tried: of each dependency the oldest and the newest release, and the Pythons."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import report

    def versions(name: str) -> list[str]:
        return sorted({one[name] for one in tried}, key=Version)

    rows = []
    for name in sorted(needed.name for needed in dependencies()):
        found = versions(name)
        rows.append([name, found[0], found[-1]])
    text = (
        f"Tried on {datetime.date.today().isoformat()}, version {wheel.name.split('-')[1]},"
        f" on Linux with Python {', '.join(versions('python'))}:"
    )
    report.put(TRIED, "tried", f"{text}\n\n{report.table(('', 'oldest', 'newest'), rows)}")


def sbom(wheel: Path) -> Path:
    """Write which packages the wheel brings at their newest, with their licences, and return the file."""
    written = wheel.with_suffix(".cdx.json")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder, f"env/{SCRIPTS}/python")
        run("uv", "venv", "--quiet", "--python", sys.executable, Path(folder, "env"))
        run("uv", "pip", "install", "--quiet", "--python", here, wheel)
        run(
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--gather-license-texts"),
            *("--output-reproducible", "--output-file", written, here),
        )
    return written


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed, and return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-6000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
