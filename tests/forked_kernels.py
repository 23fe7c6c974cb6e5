"""Kernels that are forked instead of started: jupyter_client's own way to bring another provisioner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.resources import files
from typing import Any

from forks import Forked
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

_NAME = "forked"
METADATA = {"kernel_provisioner": {"provisioner_name": _NAME}}
"""What has a kernel forked that says so in its kernelspec."""
_SPEC = json.loads((files("letta_kernel") / "kernelspec" / "kernel.json").read_text("utf-8"))
LETTA = [sys.executable, *_SPEC["argv"][1:]]
PLAIN = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


class ForkedKernel(LocalProvisioner):
    """A letta kernel or a plain one by a fork, any other as ever."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        kind = _kind(cmd)
        environment = options.get("env") or dict(os.environ)
        # What is on the path of the process that is forked stays there.
        if kind is None or environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
            return await super().launch_kernel(cmd, **options)
        with open(os.devnull, "r+b") as nothing:
            out, errors = (
                nothing.fileno() if options.get(name) == subprocess.DEVNULL else number
                for name, number in (("stdout", 1), ("stderr", 2))
            )
            self.process = Forked(
                kind,
                cmd[cmd.index("-f") :],
                str(options.get("cwd") or os.getcwd()),
                environment,
                (nothing.fileno(), out, errors),
            )
        self.pid = self.pgid = self.process.pid
        self.cwd = options.get("cwd", os.getcwd())
        return self.connection_info


def _kind(command: list[str]) -> str | None:
    """Return what a kernel's command line starts, None where that cannot be forked."""
    for kind, known in (("kernel", LETTA), ("plain kernel", PLAIN)):
        if command[:-1] == known[:-1]:
            return kind
    return None


def use() -> None:
    """Have all kernels that this process starts forked."""
    _factory().default_provisioner_name = _NAME


def _factory() -> KernelProvisionerFactory:
    found = KernelProvisionerFactory.instance()
    entry = EntryPoint(_NAME, f"{__name__}:ForkedKernel", KernelProvisionerFactory.GROUP_NAME)
    found.provisioners[_NAME] = entry
    return found


_factory()
