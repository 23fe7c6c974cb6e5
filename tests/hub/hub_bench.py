"""A real JupyterHub on loopback with the recipe of docs/hub, and its users: pages, tokens, servers, kernels."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "hub" / "jupyterhub_config.py"
PROXY = Path(sys.prefix) / "proxy" / "node_modules" / ".bin" / "configurable-http-proxy"
ADMIN = "token-of-the-tests-" + secrets.token_hex(16)
PATIENCE = 300.0  # seconds that anything may take on a crowded machine

OVERRIDES = """\
load_subconfig({recipe!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = {folder!r} + "/cookie_secret"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.pid_file = {folder!r} + "/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/home/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
c.Spawner.environment.update({environment!r})
c.JupyterHub.services[0]["environment"].update({environment!r})
c.JupyterHub.load_groups = {{"teachers": ["tess"]}}
c.JupyterHub.load_roles.append(
    {{"name": "teacher", "scopes": ["custom:letta:teach"], "groups": ["teachers"]}}
)
c.Spawner.server_token_scopes.append("custom:letta:teach")
c.JupyterHub.load_roles.append(
    {{"name": "helper", "scopes": ["access:servers!server=ann/"], "users": ["kim"]}}
)
c.JupyterHub.services.append({{"name": "tests", "api_token": {admin!r}}})
c.JupyterHub.load_roles.append({{
    "name": "tests",
    "services": ["tests"],
    "scopes": ["admin:users", "admin:servers", "tokens", "access:servers", "access:services"],
}})
"""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at now."""
    with_all = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in with_all]
    for one in with_all:
        one.close()
    return ports


def until(done: Callable[[], Any], hub: Hub) -> Any:
    """Wait for something that is going to be, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline, hub.log
        time.sleep(0.3)
    return found


@dataclass
class Hub:
    """A hub that runs; ``url`` ends without a slash."""

    url: str
    folder: Path
    users: dict[str, User] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def letta(self) -> str:
        """Where the agents of all are served."""
        return f"{self.url}/services/letta"

    def api(self, method: str, path: str, **options: Any) -> Any:
        """Ask the hub as its administrator."""
        headers = {"Authorization": f"token {ADMIN}"}
        url = f"{self.url}/hub/api{path}"
        answer = httpx.request(method, url, headers=headers, timeout=PATIENCE, **options)
        assert answer.is_success, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def user(self, name: str) -> User:
        """Return a user, who is there and has a token of their own."""
        if name not in self.users:
            if name not in [one["name"] for one in self.api("GET", "/users")]:
                self.api("POST", f"/users/{name}")
            token = self.token(name)
            self.users[name] = User(self, name, token)
        return self.users[name]

    def end_service(self) -> None:
        """Kill what serves the agents of all; the hub starts it anew."""
        place = f"LETTA_HOME={self.folder / 'state' / 'service'}".encode()
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"--hub" in words and place in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def token(self, name: str, *scopes: str) -> str:
        """Return a new token of a user, of all they may or of some scopes."""
        asked = {"scopes": [*scopes]} if scopes else {}
        return str(self.api("POST", f"/users/{name}/tokens", json=asked)["token"])


@dataclass
class User:
    """Somebody of the hub."""

    hub: Hub
    name: str
    token: str
    kernels: dict[str, Kernel] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where their server is."""
        return f"{self.hub.url}/user/{self.name}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def start(self) -> None:
        """Start their server."""
        self.hub.api("POST", f"/users/{self.name}/server", json={})
        until(lambda: self.hub.api("GET", f"/users/{self.name}")["server"], self.hub)

    def stop(self) -> None:
        """Stop it; what runs in it ends."""
        self.kernels.clear()
        self.hub.api("DELETE", f"/users/{self.name}/server")
        until(lambda: not self.hub.api("GET", f"/users/{self.name}")["server"], self.hub)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask their server, as they."""
        return httpx.get(f"{self.url}{path}", headers=self.headers, timeout=PATIENCE, **options)

    def page(self) -> httpx.Client:
        """Return a browser that has logged in, at their server: cookies and no token."""
        page = httpx.Client(base_url=self.hub.url, follow_redirects=True, timeout=PATIENCE)
        page.get("/hub/login")
        form = {"username": self.name, "password": "x", "_xsrf": page.cookies["_xsrf"]}
        page.post("/hub/login", data=form)
        page.get(f"/user/{self.name}/lab")
        return page

    def notebook(self, name: str = "a.ipynb") -> Kernel:
        """Return the kernel of one of their notebooks, which their server starts."""
        if name not in self.kernels:
            asked = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "letta"}}
            answer = httpx.post(
                f"{self.url}/api/sessions", headers=self.headers, json=asked, timeout=PATIENCE
            )
            assert answer.status_code == 201, answer.text
            self.kernels[name] = Kernel(self, answer.json()["kernel"]["id"])
        return self.kernels[name]

    def run(self, code: str) -> str:
        """Run a cell of their notebook to its end and return all it shows."""
        return self.notebook().run(code)


class Kernel:
    """A kernel behind the hub's proxy, over the WebSocket that front ends use."""

    def __init__(self, user: User, kernel_id: str) -> None:
        self.user, self.id = user, kernel_id
        url = f"{user.url.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels"
        self._entered = connect(
            url, additional_headers=user.headers, max_size=None, open_timeout=60
        )
        self._socket: ClientConnection = self._entered.__enter__()
        self._session = secrets.token_hex(8)

    def run(self, code: str) -> str:
        """Run a cell to its end and return all it shows, displays as they were at last."""
        asked = self.send(code)
        texts: list[str] = []
        shown: dict[str, str] = {}
        replied = idle = False
        while not (replied and idle):
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                texts.append(content["text"])
            elif kind in ("display_data", "update_display_data", "execute_result"):
                shown_as = str(content.get("transient", {}).get("display_id", len(texts)))
                shown[shown_as] = str(content["data"].get("text/plain", ""))
            elif kind == "error":
                texts += content["traceback"]
            elif kind == "status":
                idle = content["execution_state"] == "idle"
            elif kind == "execute_reply":
                replied = True
        return "\n".join([*texts, *shown.values()])

    def stop_at(self, code: str, text: str, press: Callable[[], object] | None = None) -> str:
        """Run a cell, press the stop button when *text* is shown, and return what the cell ends with.

        *press* is something else to do then.
        """
        asked = self.send(code, stdin=True)  # a person looks: the view is live
        pressed, ended = False, ""
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message["parent_header"].get("msg_id") != asked:
                continue
            if not pressed and text in json.dumps(message["content"]):
                pressed = True
                if press is not None:
                    press()
                    continue
                url = f"{self.user.url}/api/kernels/{self.id}/interrupt"
                httpx.post(url, headers=self.user.headers, timeout=PATIENCE)
            if message["msg_type"] == "error":
                ended = "\n".join(message["content"]["traceback"])
            if message["msg_type"] == "execute_reply":
                return re.sub(r"\x1b\[[0-9;]*m", "", ended)

    def send(self, code: str, *, stdin: bool = False) -> str:
        """Ask for a cell; return the id of the request."""
        asked = secrets.token_hex(8)
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": stdin}
        header = {"msg_id": asked, "msg_type": "execute_request", "session": self._session}
        header |= {"username": self.user.name, "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self._socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        return asked


@contextmanager
def hub(
    folder: Path, people: str, *, more: str = "", before: tuple[str, ...] = (), **environment: str
) -> Iterator[Hub]:
    """Run a hub until the block ends.

    Parameters
    ----------
    people : where the projects are.
    more : further lines of its configuration.
    before : a command that runs the hub's, which follows it.
    environment : that of users' servers, and of the service.
    """
    assert PROXY.exists(), "this needs configurable-http-proxy: make test-hub"
    port, hub_port, api_port, service_port = free_ports(4)
    jupyter = _installed(folder)
    config = folder / "config.py"
    told = {"JUPYTER_PATH": str(jupyter), "JUPYTER_CONFIG_PATH": str(jupyter), **environment}
    config.write_text(
        OVERRIDES.format(
            recipe=str(RECIPE),
            port=port,
            hub_port=hub_port,
            api_port=api_port,
            folder=str(folder),
            proxy=str(PROXY),
            environment=told,
            admin=ADMIN,
        )
        + more
    )
    own = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "LETTA"))},
        "HUB_STATE": str(folder / "state"),
        "HUB_URL": f"http://127.0.0.1:{port}",
        "HUB_SERVICE_PORT": str(service_port),
        "HUB_PEOPLE": people,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
    }
    command = [*before, sys.executable, "-m", "jupyterhub", "-f", str(config)]
    with (folder / "log").open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=own,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    made = Hub(f"http://127.0.0.1:{port}", folder)
    try:
        until(lambda: _up(process, made), made)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        _end_group(process.pid)
        if (left := folder / "proxy.pid").exists():  # the hub had no time to end it
            _end_group(int(left.read_text()))


def _up(process: subprocess.Popen[bytes], made: Hub) -> bool:
    assert process.poll() is None, made.log
    try:
        return httpx.get(f"{made.url}/hub/api/", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _end_group(group: int) -> None:
    """End what the hub has left: the processes of its session, which the test began."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _installed(folder: Path) -> Path:
    """Return a folder with what an installation puts beside the package: kernelspec and extension."""
    made = folder / "jupyter"
    (made / "jupyter_server_config.d").mkdir(parents=True)
    shutil.copy(ROOT / "jupyter-config" / "letta-kernel.json", made / "jupyter_server_config.d")
    # What nobody asks for here takes seconds to import in each server.
    unused = dict.fromkeys(["jupyter_lsp", "jupyter_server_terminals", "notebook"], False)
    off = {"ServerApp": {"jpserver_extensions": unused}}
    (made / "jupyter_server_config.json").write_text(json.dumps(off))
    shutil.copytree(ROOT / "letta_kernel" / "kernelspec", made / "kernels" / "letta")
    return made
