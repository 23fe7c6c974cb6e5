"""The recipe with real accounts of the machine: what one user's cells reach of another's, which is nothing.

Two throw-away users are made, and removed afterwards. Rows are in PostgreSQL: docs/how-to/hub.md.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub_bench import Hub, User, hub, until
from postgres import Cluster
from scripted_server import ScriptedServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0 or shutil.which("useradd") is None,
        reason="makes users of the machine: needs root and useradd",
    ),
]

# Users cannot enter root's home, where Python may be: the hub, and nobody else, sees that folder opened.
OPENED = """\
set -e
home=$1; shift
mkdir "$1"; kept=$1; shift
mount --bind "$home" "$kept"
mount -t tmpfs -o mode=755 tmpfs "$home"
for one in "$kept"/.[!.]* "$kept"/*; do
    [ -d "$one" ] || continue
    mkdir "$home/${one##*/}"
    mount --bind "$one" "$home/${one##*/}"
done
exec "$@"
"""
SPAWNER = """
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.args = []
c.Spawner.notebook_dir = "~"
"""


@pytest.fixture(scope="module")
def names() -> Iterator[tuple[str, str]]:
    """Two users of the machine, made for this test alone."""
    sign = secrets.token_hex(3)
    made = (f"lk-ann-{sign}", f"lk-bob-{sign}")
    # Not below pytest's folder, which is root's alone.
    homes = Path(tempfile.mkdtemp(prefix="letta-homes-"))
    homes.chmod(0o755)
    try:
        for name in made:
            home = str(homes / name)
            subprocess.run(
                ["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", name],
                check=True,
            )
            Path(home).chmod(
                0o755
            )  # as many machines have it: what lies in it has to be closed by us
        yield made
    finally:
        for name in made:
            subprocess.run(["userdel", name], check=False, capture_output=True)
        shutil.rmtree(homes, ignore_errors=True)


@pytest.fixture(scope="module")
def accounts(names: tuple[str, str], server: ScriptedServer, cluster: Cluster) -> Iterator[Hub]:
    """A hub whose servers run as those users."""
    folder = Path(tempfile.mkdtemp(prefix="letta-hub-"))
    folder.chmod(0o755)
    with cluster.connect() as admin:
        admin.execute("CREATE DATABASE accounts TEMPLATE template0 ENCODING 'UTF8'")
    told = {"LETTA_MODEL": "openai/scripted", "OPENAI_BASE_URL": server.url}
    before: tuple[str, ...] = ()
    home = Path.home()
    if home.stat().st_mode & 0o005 != 0o005 and Path(sys.executable).resolve().is_relative_to(home):
        before = ("unshare", "--mount", "sh", "-c", OPENED, "sh", str(home), str(folder / "kept"))
    try:
        people = cluster.url(database="accounts")
        with hub(
            folder, people, more=SPAWNER, before=before, OPENAI_API_KEY="test", **told
        ) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


LOOK = """
import glob, os, pathlib, signal
def tried(what, work):
    try:
        found = work()
    except OSError as error:
        found = type(error).__name__
    print(what, '=', found)
home = pathlib.Path({home!r})
tried('project', lambda: os.listdir(home / '.letta'))
tried('runtime', lambda: os.listdir(home / '.local/share/jupyter/runtime'))
for pid in {pids!r}:
    tried('environment', lambda: open(f'/proc/{{pid}}/environ', 'rb').read())
    tried('end', lambda: os.kill(pid, signal.SIGTERM))
tried('state', lambda: os.listdir({state!r}))
print('me =', os.getuid(), os.environ['LETTA_STORE'].partition('@')[2])
"""


def test_one_user_reaches_nothing_of_another_s(
    accounts: Hub, names: tuple[str, str], server: ScriptedServer
) -> None:
    ann, bob = (accounts.user(name) for name in names)
    for user in (ann, bob):
        user.start()
    assert "Made ada" in ann.run("%agent new ada --human Secret")
    server.say("Good morning, Ann.")
    assert "Good morning, Ann." in ann.run("%%agent\nHello.")
    uid = int(ann.run("import os; print(os.getuid())"))
    assert uid != 0
    assert uid != int(bob.run("import os; print(os.getuid())"))
    pids = [
        int(one.name)
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and _owner(one) == uid
    ]
    assert pids
    home = ann.run("import pathlib; print(pathlib.Path.home())").strip()
    asked = LOOK.format(home=home, pids=pids, state=str(accounts.folder / "state"))
    for line in filter(None, map(str.strip, bob.run(asked).splitlines())):
        what, _, found = line.partition(" = ")
        # Her rows are in the database, so she need not have a project folder; a process may have ended.
        nothing = (
            ("ProcessLookupError", "FileNotFoundError") if what not in ("runtime", "state") else ()
        )
        assert what == "me" or found in ("PermissionError", *nothing), line
    # Nor by her server, with his token, nor in the database, with his role.
    assert ann_kernels(ann, bob) == 403
    found = bob.run(
        "import os, psycopg, re\n"
        "with psycopg.connect(re.sub('project=[^&]*&?', '', os.environ['LETTA_STORE'])) as one:\n"
        "    try:\n"
        f"        print(one.execute('SELECT * FROM \"{names[0]}\".agents').fetchall())\n"
        "    except psycopg.errors.InsufficientPrivilege as error:\n"
        "        print('refused')"
    )
    assert found.strip() == "refused"
    # What is granted is reached all the same.
    ann.run(f"%agent grant ada {names[1]} talk")
    until(lambda: f"{names[0]}/ada" in bob.run("%agent list"), accounts)
    server.say("Good morning, Bob.")
    assert "Good morning, Bob." in bob.run(f"%%agent {names[0]}/ada\nHello.")
    for user in (ann, bob):
        user.stop()


def _owner(process: Path) -> int:
    try:
        return process.stat().st_uid
    except OSError:  # it has ended
        return -1


def ann_kernels(ann: User, bob: User) -> int:
    """Return how ann's server answers bob's token that asks for her kernels."""
    return httpx.get(f"{ann.url}/api/kernels", headers=bob.headers, timeout=300).status_code
