"""A JupyterHub whose users have agents, each a project of their own, and share some: docs/hub.md says how.

Copy it, or load it from your own configuration with ``load_subconfig("…/jupyterhub_config.py")``. It says
nothing of how users log in and where their servers run: those lines are yours.
"""

import os
import sys

c = get_config()  # noqa: F821  # JupyterHub gives it

# Where users reach the hub, and where the service of all agents listens, for the proxy alone.
HUB = os.environ.get("HUB_URL", "http://127.0.0.1:8000")
SERVICE = f"http://127.0.0.1:{os.environ.get('HUB_SERVICE_PORT', '10101')}"

# Where the projects are: a folder with one for each user, or postgresql://… of somebody who may make schemas
# and roles. A folder is for one machine and one system user (as with SimpleLocalProcessSpawner).
PEOPLE = os.environ.get("HUB_PEOPLE", "/srv/letta/people")

# The service at /services/letta/: it knows users by the hub's tokens, so that nobody logs in twice.
c.JupyterHub.services = [
    {
        "name": "letta",
        "url": SERVICE,
        "command": [sys.executable, "-m", "letta_kernel.cli", "serve", "--hub", "--people", PEOPLE],
        "environment": {},
    }
]

# Every user may use it, from their notebooks, too.
USES = "access:services!service=letta"
c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", USES]}]
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", USES]

# Notebooks find agents that others share there; the token of their server says who they are.
c.Spawner.environment = {
    "LETTA_SERVER": f"{HUB}/services/letta",
    "LETTA_HOME": lambda spawner: os.path.join(PEOPLE, spawner.user.name),
}
