"""A JupyterHub whose users have agents, each a project of their own, sharing some (docs/how-to/hub.md).

Copy it, or load it from your own configuration with ``load_subconfig("…/jupyterhub_config.py")``. It says
nothing of how users log in and where their servers run: those lines are yours.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821  # JupyterHub gives it

# Where users reach the hub, and where the service of all agents listens, for the proxy alone.
HUB = os.environ.get("HUB_URL", "http://127.0.0.1:8000")
SERVICE = f"http://127.0.0.1:{os.environ.get('HUB_SERVICE_PORT', '10101')}"

# Where the projects are: a folder with one for each user, or postgresql://… of somebody who may make schemas
# and roles. A folder is for one machine and one system user (as with SimpleLocalProcessSpawner).
PEOPLE = os.environ.get("HUB_PEOPLE", "/srv/letta/people")

# What the hub has to know of each user's project, for nobody else to read.
STATE = Path(os.environ.get("HUB_STATE", "/srv/letta/state"))

# The same for the service and for `people add`; not words of a command: PEOPLE may hold a password. What is no
# row of a database, such as uploads, the service keeps in the folder.
TOLD = {"LETTA_PEOPLE": PEOPLE, "LETTA_HOME": str(STATE / "service")}

LETTA = [sys.executable, "-m", "letta_kernel.cli"]

# The service at /services/letta/: it knows users by the hub's tokens, so that nobody logs in twice.
c.JupyterHub.services = [
    {
        "name": "letta",
        "url": SERVICE,
        "command": [*LETTA, "serve", "--hub"],
        "environment": TOLD,
    }
]

# Every user may use it, from their notebooks, too.
USES = "access:services!service=letta"
c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", USES]}]
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", USES]

# Who teaches sees how much everybody uses; nobody reads what was said, unless it is granted.
c.JupyterHub.custom_scopes = {
    "custom:letta:teach": {"description": "See what everybody's runs take"}
}

# Notebooks find agents that others share there; the token of their server says who they are.
c.Spawner.environment = {"LETTA_SERVER": f"{HUB}/services/letta"}


async def entered(name):
    """Return where a user's project is, made when they first start a server."""
    kept = STATE / f"{name}.json"
    if not kept.exists():
        STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
        process = await asyncio.create_subprocess_exec(
            *(*LETTA, "people", "add", name, "--json"),
            env={**os.environ, **TOLD},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, problem = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name} cannot have a project: {problem.decode().strip()}")
        beside = kept.with_suffix(".part")
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(said)
        beside.replace(kept)
    return json.loads(kept.read_text())["project"]


async def give_project(spawner):
    """Tell a user's server where their project is."""
    # A folder, or LETTA_STORE=postgresql://… with the user's own role.
    where = await entered(spawner.user.name)
    variable, said, store = where.partition("=")
    told = {variable: store} if said and variable == "LETTA_STORE" else {"LETTA_HOME": where}
    spawner.environment = {**spawner.environment, **told}  # of this server alone


c.Spawner.pre_spawn_hook = give_project
