"""Hints that install something are made from how this copy came here."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from letta_kernel import installed

Hint = Callable[..., str]


@pytest.fixture
def hint(tmp_path: Path) -> Hint:
    """Return what a Python says that finds a copy of the package with this note of its origin."""

    def make(origin: dict[str, Any] | str | None, *, without_pip: bool = False) -> str:
        site = tmp_path / "site"
        about = site / "letta_kernel-9.9.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: letta-kernel\nVersion: 9.9\n")
        note = about / "direct_url.json"
        note.unlink(missing_ok=True)
        if origin is not None:
            note.write_text(origin if isinstance(origin, str) else json.dumps(origin))
        code = (
            f"import sys; sys.path[:0] = [{str(site)!r}, {str(Path(installed.__file__).parents[1])!r}]\n"
            + (
                "sys.modules['pip'] = None\nimport importlib.util as u\nfound = u.find_spec\n"
                "u.find_spec = lambda name, *a: None if name == 'pip' else found(name, *a)\n"
                if without_pip
                else ""
            )
            + "from letta_kernel import installed\n"
            "print(installed.extra('local')); print(installed.extra('local', notebook=True))\n"
            "print(installed.renew(notebook=True))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return ran.stdout

    return make


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (None, "letta-kernel[local]"),
        ("{}", "letta-kernel[local]"),
        ("no json", "letta-kernel[local]"),
        (
            {"url": "file:///home/kim/letta", "dir_info": {"editable": True}},
            "/home/kim/letta[local]",
        ),
        ({"url": "file:///home/kim/letta", "dir_info": {}}, "/home/kim/letta[local]"),
        (
            {"url": "file:///home/kim/my%20work/it%27s/letta", "dir_info": {"editable": True}},
            "/home/kim/my work/it's/letta[local]",
        ),
        (
            {"url": "file:///tmp/letta_kernel-9.9-py3-none-any.whl", "archive_info": {}},
            "/tmp/letta_kernel-9.9-py3-none-any.whl[local]",
        ),
        (
            {"url": "https://example.org/letta-9.9.tar.gz", "archive_info": {}},
            "letta-kernel[local] @ https://example.org/letta-9.9.tar.gz",
        ),
        (
            {
                "url": "https://example.org/letta.git",
                "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": "abc"},
                "subdirectory": "python",
            },
            "letta-kernel[local] @ git+https://example.org/letta.git@main#subdirectory=python",
        ),
    ],
)
def test_an_extra_is_added_to_the_copy_that_is_there(hint: Hint, origin: Any, wanted: str) -> None:
    shell, notebook, renewed = hint(origin).splitlines()
    editable = isinstance(origin, dict) and origin.get("dir_info", {}).get("editable")
    words = shlex.split(shell)
    assert words[1:4] == ["-m", "pip", "install"]
    assert words[4:] == (["-e", wanted] if editable else [wanted])
    assert shlex.split(notebook)[:2] == ["%pip", "install"]
    assert shlex.split(notebook)[2:] == words[4:]
    assert shlex.split(renewed)[-1] == wanted.replace("[local]", "")


def test_an_environment_without_pip_is_installed_into_by_uv(hint: Hint) -> None:
    shell, notebook, _ = hint(None, without_pip=True).splitlines()
    assert shlex.split(shell)[:3] == ["uv", "pip", "install"]
    assert notebook.startswith("!uv pip install --python ")


def test_the_hint_of_this_very_copy_names_a_folder_that_is_there() -> None:
    words = shlex.split(installed.extra("local", notebook=True))
    assert words[-1].endswith("[local]")
    if "-e" in words:
        assert (Path(words[-1].removesuffix("[local]")) / "pyproject.toml").is_file()


def test_what_the_first_day_needs_comes_with_the_package() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    base, _, rest = text.partition("[project.scripts]")
    for name in ('"mcp>=', '"pypdf>='):
        assert name in base
        assert name not in rest
    extras = rest.partition("[project.optional-dependencies]")[2].partition("test = [")[0]
    assert [line.split(" ")[0] for line in extras.splitlines() if "=" in line] == [
        "acp",
        "docs",
        "keyring",
        "local",
        "multilingual",
        "onnx",
        "otel",
        "plots",
        "postgres",
    ]
