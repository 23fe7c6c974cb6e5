"""Packages bring models by entry points: they answer, one that fails is named, and sources need no install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import letta_kernel

ACME = """
from letta_kernel.messages import Usage
from letta_kernel.models.base import ModelError, Reply, TextPiece
from letta_kernel.models.plugins import ModelInfo, ModelProvider


class Parrot:
    label = "a parrot"
    context_window = 64_000
    supports_tools = True
    supports_reasoning = False

    def __init__(self, name):
        self.name = name

    def count_tokens(self, text):
        return len(text) // 4

    def stream(self, request, cancel):
        said = request.messages[-1]["content"][-5:]
        yield TextPiece(said)
        yield Reply(text=said, model=self.name, label=self.label, usage=Usage())


class Acme(ModelProvider):
    def open(self, name):
        if name != "acme/parrot":
            raise ModelError("unknown_model", f"Acme has a parrot and no {name}.")
        return Parrot(name)

    def models(self):
        return [ModelInfo("acme/parrot", True, "says it again")]
"""
ENTRIES = {
    "acme": "acme_letta:Acme",
    "gone": "no_such_module:Gone",
    "odd": "builtins:dict",
}


def put(folder: Path, dist: str, entries: dict[str, str]) -> None:
    """Write what an installed package leaves: its metadata, with entry points."""
    info = folder / f"{dist}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[letta_kernel.models]", *lines]) + "\n")


def python(code: str, *paths: Path) -> str:
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "acme_letta.py").write_text(ACME)
    put(folder, "acme_letta", ENTRIES)
    return folder


def test_a_package_that_joins_answers_an_agent(site: Path, tmp_path: Path) -> None:
    code = (
        "from letta_kernel import Agent\n"
        f"run = Agent('polly', model='acme/parrot', home={str(tmp_path)!r}).send('say hello')\n"
        "print(run)"
    )
    said = python(code, site)
    assert "polly · acme/parrot · a parrot" in said
    assert "hello" in said


def test_its_models_are_listed_and_completed_and_what_it_lacks_is_said(site: Path) -> None:
    code = (
        "from letta_kernel.models.base import ModelError\n"
        "from letta_kernel.models.registry import available, known_names, open_model\n"
        "print([i.how for i in available() if i.name == 'acme/parrot'], 'acme/parrot' in known_names())\n"
        "try:\n    open_model('acme/cat')\nexcept ModelError as error:\n    print(error.kind, error)"
    )
    assert python(code, site).splitlines() == [
        "['says it again'] True",
        "unknown_model Acme has a parrot and no acme/cat.",
    ]


def test_one_that_fails_is_named_in_one_line_and_takes_nothing_with_it(site: Path) -> None:
    code = (
        "from letta_kernel.models.base import ModelError\n"
        "from letta_kernel.models.registry import available, open_model\n"
        "print([i.how for i in available() if i.name in ('gone', 'odd')])\n"
        "for name in ('gone/x', 'odd'):\n"
        "    try:\n        open_model(name)\n    except ModelError as error:\n        print(error)\n"
        "print(open_model('demo').name)"
    )
    listed, gone, odd, demo = python(code, site).splitlines()
    assert gone == (
        "The models of gone cannot be used: acme_letta fails (No module named 'no_such_module')."
    )
    assert (
        odd == "The models of odd cannot be used: builtins:dict of acme_letta is no ModelProvider."
    )
    assert gone in listed
    assert odd.partition(":")[0] in listed
    assert demo == "demo"


def test_ours_cannot_be_taken_over_by_a_name(tmp_path: Path) -> None:
    (tmp_path / "acme_letta.py").write_text(ACME)
    put(tmp_path, "a_thief", {"demo": "acme_letta:Acme"})
    code = "from letta_kernel.models.registry import open_model\nprint(type(open_model('demo')).__module__)"
    assert python(code, tmp_path).startswith("letta_kernel.models.demo")


def test_sources_that_were_never_installed_have_our_models(tmp_path: Path) -> None:
    package = Path(letta_kernel.__file__).parent
    names = shutil.ignore_patterns("__pycache__", "labextension", "kernelspec")
    shutil.copytree(package, tmp_path / "letta_kernel", ignore=names)
    shutil.copy(package.parent / "pyproject.toml", tmp_path)
    info = (
        tmp_path / "letta_kernel-0.0.dist-info"
    )  # stands before the installed one, and has no entry points
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letta-kernel\nVersion: 0.0\n")
    code = (
        "import letta_kernel\nfrom letta_kernel.models import plugins\n"
        "print(letta_kernel.__file__)\nprint(*plugins.providers())"
    )
    path, ours = python(code, tmp_path).splitlines()
    assert path.startswith(str(tmp_path))
    assert {"demo", "local"} <= set(ours.split())


def test_starting_a_kernel_looks_for_nobody() -> None:
    code = "import sys, letta_kernel.kernel\nprint('letta_kernel.models.plugins' in sys.modules)"
    assert python(code).strip() == "False"
