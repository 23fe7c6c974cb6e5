"""What docs/deploy holds, as far as it can be told without running it: names, words, the unit, compose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deploy_bench import FILES, PATH, ROOT, run

from letta_kernel import metrics, settings
from letta_kernel.server.routes.metrics import _ABOUT

SCRIPT = FILES / "install.sh"


def test_the_variables_are_those_that_are_read() -> None:
    ours = set(
        re.findall(r"LETTA_(?:EXTRAS|PREFIX|DATA|CONF|USER|UID|LISTEN|PORT)\b", SCRIPT.read_text())
    )
    known = {one.name for one in settings.VARIABLES} | ours
    known |= {f"{one.name}_FILE" for one in settings.VARIABLES if one.secret}
    for path in (*FILES.iterdir(), ROOT / "docs/how-to/deploy.md"):
        named = set(re.findall(r"\bLETTA_[A-Z_]+\b", path.read_text("utf-8")))
        assert named <= known, path


def test_the_alerts_are_about_what_is_counted() -> None:
    known = {*metrics.FAMILIES, *_ABOUT}
    known |= {f"{name}_{end}" for name in metrics.FAMILIES for end in ("bucket", "sum", "count")}
    told = yaml.safe_load((FILES / "alerts.yaml").read_text())
    rules = [rule["expr"] for group in told["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    for text in (*rules, (ROOT / "docs/how-to/deploy.md").read_text("utf-8")):
        assert (
            set(re.findall(r"\b(?:letta|process)_[a-z_]*[a-z]\b(?!\.)", text)) - {"letta_kernel"}
            <= known
        )


def test_compose_gives_secrets_as_files_alone() -> None:
    told = yaml.safe_load((FILES / "compose.yaml").read_text())
    server, database = told["services"]["server"], told["services"]["db"]
    for service in (server, database):
        for name in service["secrets"]:
            assert name in told["secrets"]
        for name, value in service["environment"].items():
            if str(value).startswith("/run/secrets/"):
                assert name.endswith("_FILE")
                assert value.rpartition("/")[2] in service["secrets"]
    assert (FILES / server["build"]["context"] / server["build"]["dockerfile"]).exists()
    assert database["healthcheck"]
    for one in database["volumes"]:
        assert (FILES / one.split(":")[0]).exists() or one.split(":")[0] in told["volumes"]
    assert "HEALTHCHECK" in (FILES / "Dockerfile").read_text()
    assert "install.sh" in (FILES / "Dockerfile").read_text()


def test_the_script_says_what_it_needs(tmp_path: Path) -> None:
    run("sh", "-n", SCRIPT)
    if os.geteuid() == 0:
        for words, said in (([], "usage"), (["nothing.whl"], "no file"), (["--back"], "go back")):
            done = subprocess.run(
                ["sh", SCRIPT, *words],
                env={"PATH": PATH, "LETTA_PREFIX": str(tmp_path)},
                capture_output=True,
                text=True,
            )
            assert done.returncode != 0
            assert said in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    text = (FILES / "letta-kernel.service").read_text()
    program = tmp_path / "letta-kernel-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "letta-kernel.service"
    unit.write_text(text.replace("/usr/local/bin/letta-kernel-server", str(program)))
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
    assert "letta-kernel.service" not in said, said
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) < 3.0, said


def test_what_ends_a_server_gives_its_runs_their_time() -> None:
    needed = settings.DRAIN.default + 10
    unit = re.search(r"^TimeoutStopSec=(\d+)$", (FILES / "letta-kernel.service").read_text(), re.M)
    assert unit is not None
    assert float(unit[1]) >= needed
    told = yaml.safe_load((FILES / "compose.yaml").read_text())
    assert float(told["services"]["server"]["stop_grace_period"].rstrip("s")) >= needed
