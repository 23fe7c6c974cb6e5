"""Write a kernelspec that starts this very Python, for Jupyter servers in another environment."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from letta_kernel.errors import InvalidInputError

NAME = "letta"


def install(
    *,
    name: str = NAME,
    display_name: str | None = None,
    user: bool = True,
    prefix: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Install the kernelspec and return its folder; one of the same name is replaced.

    Parameters
    ----------
    name
        What ``jupyter kernelspec list`` shows; letters, digits, dots, dashes and underscores.
    display_name
        What the launcher shows; None keeps the packaged one.
    user
        Install for this user; ignored if *prefix* is given. False: for the whole system.
    prefix
        Install under this prefix (``sys.prefix`` for the environment this runs in).
    environment
        Variables to set for the kernel, such as ``LETTA_HOME``.

    Raises
    ------
    InvalidInputError
        The name cannot be used, or the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch, as_file(_packaged()) as packaged:
        folder = Path(scratch) / "letta"
        shutil.copytree(packaged, folder)
        spec = json.loads((folder / "kernel.json").read_text("utf-8"))
        spec["argv"][0] = sys.executable
        if display_name:
            spec["display_name"] = display_name
        if environment:
            spec["env"] = dict(environment)
        (folder / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", "utf-8")
        manager = KernelSpecManager()
        try:
            found = manager.install_kernel_spec(
                str(folder), kernel_name=name, user=user and prefix is None, prefix=prefix
            )
        except ValueError as error:
            raise InvalidInputError(str(error)) from None
        except OSError as error:
            raise InvalidInputError(
                f"The kernelspec could not be written ({error}); try --user or --sys-prefix."
            ) from None
    return Path(found)


def installed(name: str = NAME) -> Path | None:
    """Return the folder of the kernelspec called *name*, None if Jupyter finds none."""
    try:
        return Path(KernelSpecManager().get_kernel_spec(name).resource_dir)
    except NoSuchKernel:
        return None


def _packaged() -> Traversable:
    return files("letta_kernel") / "kernelspec"
