"""Secrets in the store: sealed wherever its bytes go, opened where they are needed, useless without the key."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import keyring
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from letta_kernel import platform_keyring
from letta_kernel.errors import StoreError, ToolError
from letta_kernel.models import keyrings
from letta_kernel.models.masking import scrub
from letta_kernel.records import McpServer, Tool
from letta_kernel.service import AgentService
from letta_kernel.service.store import key_locations
from letta_kernel.store import encryption, mcp, opening
from letta_kernel.store.database import Tx

SECRET, HEADER, PLAIN = "tk-9f8e7d6c5b4a", "Basic dXNlcjpodW50ZXIy", "value-of-a-variable-77"
DATA = Path(__file__).parents[1] / "data"
TOOL = Tool(
    name="tell",
    description="Tells.",
    parameters={"type": "object", "properties": {}},
    source="def tell() -> str:\n    import os\n    raise ValueError('bad ' + os.environ['TEA_KEY'])\n",
    runs_in="sandbox",
)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the key of a project comes to lie: no keyring answers."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.delenv("LETTA_SECRET_KEY", raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.null.Keyring())
    monkeypatch.setattr(platform_keyring, "_open", {})
    yield tmp_path / "configuration" / "letta-kernel" / "keys"
    keyring.set_keyring(before)


@pytest.fixture
def home(tmp_path: Path, fresh_project: Callable[[Path], Path], keys: Path) -> Path:
    return fresh_project(tmp_path / ".letta")


def fill(service: AgentService) -> None:
    """Keep a secret of every kind there is."""
    service.agents.create("ada", settings={"environment": {"TEA_KEY": SECRET}})
    service.conversations.create("ada", settings={"environment": {"TEA_KEY": PLAIN}})
    web = McpServer(
        name="web",
        url="http://h/mcp",
        headers={"X-Key": HEADER, "Authorization": "Bearer ${TOKEN}"},
    )
    local = McpServer(name="local", command=["x"], environment={"MODE": PLAIN})
    service.database.run(lambda tx: [mcp.save(tx, one) for one in (web, local)])


def found_in(folder: Path) -> list[str]:
    """Return the files in which one of the secrets can be read."""
    texts = [text.encode() for text in (SECRET, HEADER, HEADER[6:], PLAIN)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(text in path.read_bytes() for text in texts)]


def environment(home: Path) -> dict[str, str]:
    with AgentService(home) as service:
        return dict(service.agents.retrieve("ada").settings["environment"])


@pytest.mark.duckdb
def test_no_byte_of_the_store_or_its_copies_tells_one(
    home: Path, tmp_path: Path, keys: Path
) -> None:
    with AgentService(home) as service:
        fill(service)
        assert (home / "letta.duckdb.wal").stat().st_size
        assert found_in(home) == [], "in the log, while it is written"
        service.agents.update("ada", settings={"environment": {"TEA_KEY": SECRET, "B": PLAIN}})
        service.agents.update("ada", description="changed beside them")
        service.store.backup(tmp_path / "copy.duckdb")
        service.agent_files.export_file("ada", tmp_path / "ada.af")
        everything = "SELECT * FROM agents, mcp_servers, conversations"
        rows = service.database.run(lambda tx: tx.query(everything))
        assert SECRET not in str(rows)
        assert SECRET not in repr([service.agents.view("ada"), *service.mcp.list()])
        said = json.dumps(
            [view.state.model_dump(mode="json") for view in [service.agents.view("ada")]]
        )
        assert SECRET in said, "who may use them can read them"
    (key,) = keys.iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert [name for name in found_in(tmp_path) if name != key.name] == []
    assert key.read_text().strip() not in str(rows)
    shutil.copytree(home, tmp_path / "elsewhere")  # a project that was moved
    for place in (home, tmp_path / "elsewhere"):
        assert environment(place) == {"TEA_KEY": SECRET, "B": PLAIN}
    with AgentService(tmp_path / "restored") as service:
        service.store.restore(tmp_path / "copy.duckdb")
        (thread,) = service.conversations.list("ada")
        assert thread.settings["environment"] == {"TEA_KEY": PLAIN}
        fork = service.conversations.fork("ada", thread.id)
        assert service.conversations.retrieve(fork.id).settings == thread.settings
        assert service.mcp.retrieve("web").headers == {
            "X-Key": HEADER,
            "Authorization": "Bearer ${TOKEN}",
        }
        assert service.mcp.retrieve("local").environment == {"MODE": PLAIN}
    assert found_in(tmp_path / "restored") == []
    for one in (SECRET, PLAIN, HEADER):  # as errors and recordings are cleaned
        assert scrub(f"it said {one}") == "it said [hidden]"


def test_a_sealed_text_is_worth_nothing_in_another_place(home: Path) -> None:
    with AgentService(home) as service:
        service.agents.create("ada", settings={"environment": {"TEA_KEY": SECRET}})
        looks = {f"L{n}": "sealed:1:" + "A" * n for n in range(38, 43)}
        service.agents.create("bob", settings={"environment": looks})
        assert service.agents.retrieve("bob").settings["environment"] == looks
        service.agents.create("eve", settings={"environment": {"TEA_KEY": "x", "MINE": "x"}})

        def steal(tx: Tx) -> None:
            (text,) = tx.query("SELECT settings FROM agents WHERE name = 'ada'")[0]
            sealed = json.loads(text)["environment"]["TEA_KEY"]
            taken = json.dumps({"environment": {"TEA_KEY": sealed, "MINE": sealed}})
            tx.execute("UPDATE agents SET settings = $1 WHERE name = 'eve'", (taken,))

        service.database.run(steal)
        got = service.agents.retrieve("eve").settings["environment"]
        assert all(map(encryption.is_encrypted, got.values()))
        assert environment(home) == {"TEA_KEY": SECRET}


def test_without_the_key_all_but_the_secrets_works(
    home: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with AgentService(home) as service:
        fill(service)
        service.tools.attach(service.tools.upsert(TOOL).id, agent="ada")
        outcome = service.tools.run("tell", {}, agent="ada")
        assert outcome.status == "error"
        assert "${TEA_KEY}" in outcome.text
        assert SECRET not in f"{outcome.text}{outcome.error}{outcome.traceback}"
    (key,) = keys.iterdir()
    right = key.read_text()
    key.rename(tmp_path / "aside")
    for wrong in (None, "some other text that is long enough"):
        if wrong is not None:
            monkeypatch.setenv("LETTA_SECRET_KEY", wrong)
        with AgentService(home) as service:
            assert service.agents.update("ada", description="d").settings["environment"].keys() == {
                "TEA_KEY"
            }
            assert service.agent_files.export("ada")
            assert len(service.mcp.list()) == 2
            outcome = service.tools.run("tell", {}, agent="ada")
            assert "LETTA_SECRET_KEY" in outcome.text
            assert "set them anew" in outcome.text
            assert "\n" not in outcome.text
        if wrong is None:
            assert key_locations(home) == [""] * 4
            with pytest.raises(ToolError, match="set the secret anew"):
                service.mcp.refresh("web")
            (thread,) = service.conversations.list("ada")
            fork = service.conversations.fork("ada", thread.id)
            assert fork.settings == {"environment": {}}, "in its place they would never open again"
    monkeypatch.setenv("LETTA_SECRET_KEY", right.strip())  # for a server on another machine
    assert environment(home) == {"TEA_KEY": SECRET}
    assert "" not in key_locations(home)
    monkeypatch.delenv("LETTA_SECRET_KEY")
    with AgentService(home) as service:
        service.agents.update("ada", settings={"environment": {"TEA_KEY": "anew"}})
    assert environment(home) == {"TEA_KEY": "anew"}
    (fresh,) = keys.iterdir()
    assert sorted(key_locations(home)) == ["", "", "", str(fresh)]


def test_several_servers_share_a_key_by_the_variable(
    home: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SECRET_KEY", "a long text that nobody guesses")
    with AgentService(home) as one, AgentService(home) as two:
        one.agents.create("ada", settings={"environment": {"TEA_KEY": SECRET}})
        assert two.agents.retrieve("ada").settings["environment"] == {"TEA_KEY": SECRET}
    assert not keys.exists()


def test_no_server_is_handed_the_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_SECRET_KEY", "a long text that nobody guesses")
    with AgentService(home) as service, pytest.raises(ToolError, match="is not given"):
        service.mcp.create("thief", url="http://127.0.0.1:9/${LETTA_SECRET_KEY}")


def test_where_no_key_can_be_kept_nothing_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null")
    with AgentService(home) as service:
        with pytest.raises(StoreError, match="LETTA_SECRET_KEY"):
            service.agents.create("ada", settings={"environment": {"TEA_KEY": SECRET}})
        assert service.agents.list() == []


class Ring(KeyringBackend):
    """A platform's keyring; without an answer it waits for a person to allow it the key of a project."""

    priority = 5.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.answer = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        if username.startswith("secrets of"):
            self.answer.wait(60)
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.answer.wait(60)
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


def keep_in(ring: Ring, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a keyring that answers take the project's key, and know no more of it than another process."""
    ring.answer.set()
    keyring.set_keyring(ring)
    with AgentService(home) as service:
        fill(service)
    monkeypatch.setattr(encryption, "_ring", {})


def test_the_key_lies_in_the_keyring_where_one_answers_at_once(
    home: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ring = Ring()
    keep_in(ring, home, monkeypatch)
    assert len(ring.kept) == 1
    assert not keys.exists()
    assert environment(home) == {"TEA_KEY": SECRET}
    silent = Ring()
    keyring.set_keyring(silent)
    monkeypatch.setattr(encryption, "_ring", {})
    monkeypatch.setattr(encryption, "_TIMEOUT", 0.05)
    try:
        assert encryption.is_encrypted(environment(home)["TEA_KEY"]), "nobody waits for a person"
        with AgentService(tmp_path / "other") as service:
            fill(service)
        assert len([*keys.iterdir()]) == 1
        silent.kept[platform_keyring.SERVICE, "OPENAI_API_KEY"] = "sk-of-the-ring"
        monkeypatch.setattr(keyrings, "_known", {})
        assert keyrings.value("OPENAI_API_KEY") == "sk-of-the-ring", "that one it answers"
    finally:
        silent.answer.set()


class LockedRing(Ring):
    """A keyring that refuses until the person unlocks it."""

    def get_password(self, service: str, username: str) -> str | None:
        if not self.answer.is_set():
            raise KeyringLocked("locked")
        return super().get_password(service, username)


def test_no_key_is_put_over_one_that_could_not_be_read(
    home: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = LockedRing()
    keep_in(ring, home, monkeypatch)
    (key,) = ring.kept.values()
    ring.answer.clear()
    assert encryption.is_encrypted(environment(home)["TEA_KEY"])
    ring.answer.set()  # unlocked, within the time in which it is not asked again
    with AgentService(home) as service:
        service.agents.create("bob", settings={"environment": {"POT_KEY": PLAIN}})
    assert [*ring.kept.values()] == [key]
    assert not keys.exists()
    assert environment(home) == {"TEA_KEY": SECRET}
    monkeypatch.setenv("LETTA_SECRET_KEY", "a key that is set later, for what comes")
    with AgentService(home) as service:
        service.agents.create("eve", settings={"environment": {"CUP_KEY": SECRET}})
    assert environment(home) == {"TEA_KEY": SECRET}, "what the keyring's key sealed is opened still"
    assert sorted(key_locations(home)) == ["LETTA_SECRET_KEY"] + ["the platform's keyring"] * 5
    monkeypatch.delenv("LETTA_SECRET_KEY")
    assert key_locations(home).count("") == 1


@pytest.mark.parametrize("harm", ["no text", "empty", "a folder", "a link to nowhere", "of root"])
def test_a_key_file_that_cannot_be_read_stays(
    harm: str, home: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentService(home) as service:
        fill(service)
    (file,) = keys.iterdir()
    right = file.read_bytes()
    file.unlink()
    if harm == "a folder":
        file.mkdir()
    elif harm == "a link to nowhere":
        file.symlink_to(tmp_path / "unplugged")
    else:
        file.write_bytes({"no text": right + b"\xff", "empty": b""}.get(harm, right))
    before = as_it_is(file)
    with monkeypatch.context() as patch:
        if harm == "of root":
            read = Path.read_text
            patch.setattr(
                Path, "read_text", lambda path, *a: refuse() if path == file else read(path, *a)
            )
        with AgentService(home) as service:
            assert len(service.mcp.list()) == 2
            with pytest.raises(StoreError, match="cannot be read") as refused:
                service.agents.create("bob", settings={"environment": {"POT_KEY": PLAIN}})
            assert str(file) in str(refused.value)
    assert [*keys.iterdir()] == [file]
    assert as_it_is(file) == before
    if file.is_dir():
        file.rmdir()
    else:
        file.unlink()
    file.write_bytes(right)
    assert environment(home) == {"TEA_KEY": SECRET}


def as_it_is(file: Path) -> tuple[int, ...]:
    """Return what changes of a file when anybody writes it; reading it changes its time of access."""
    about = file.lstat()
    return about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns


def refuse(*_: object) -> str:
    raise PermissionError(13, "Permission denied")


def test_without_a_home_folder_it_is_said_in_a_line(
    home: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentService(home) as service:
        fill(service)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with AgentService(home) as service:
        with pytest.raises(StoreError, match=r"home directory.*LETTA_SECRET_KEY"):
            service.agents.create("bob", settings={"environment": {"POT_KEY": PLAIN}})
        with pytest.raises(StoreError, match="XDG_CONFIG_HOME"):
            encryption.check(service.agents.retrieve("ada").settings["environment"], "ada")


@pytest.mark.duckdb
@pytest.mark.parametrize("kept", ["store-v6", "store-v12"])  # later ones are sealed
def test_a_store_of_before_is_sealed_and_none_of_its_bytes_tells_what_was_there(
    kept: str, tmp_path: Path, keys: Path
) -> None:
    home = tmp_path / ".letta"
    home.mkdir()
    path = home / "letta.duckdb"
    path.write_bytes(gzip.decompress((DATA / f"{kept}.duckdb.gz").read_bytes()))
    with duckdb.connect(path) as old:  # as the program of then wrote it
        for n in range(3):
            held = json.dumps(
                {"temperature": 0.5, "environment": {"TEA_KEY": f"{SECRET} {n}" * 50}}
            )
            old.execute("UPDATE agents SET settings = $1 WHERE name = 'ada'", [held])
            old.execute("CHECKPOINT")
        old.execute("PRAGMA disable_checkpoint_on_shutdown")
        held = json.dumps({"temperature": 0.5, "environment": {"TEA_KEY": SECRET}})
        old.execute("UPDATE agents SET settings = $1 WHERE name = 'ada'", [held])
        old.execute(
            "INSERT INTO mcp_servers (id, name, command, url, environment, headers, start_limit, time_limit,"
            " return_limit, requires_approval, created_at, updated_at, created_by) VALUES"
            " ('m', 'web', [], 'http://h', '{}', $1, 1, 1, 1, false, now(), now(), 'me')",
            [json.dumps({"X-Key": HEADER})],
        )
    assert set(found_in(home)) == {"letta.duckdb", "letta.duckdb.wal"}
    with AgentService(home) as service:
        ada = service.agents.retrieve("ada")
        assert ada.settings == {"temperature": 0.5, "environment": {"TEA_KEY": SECRET}}
        assert service.mcp.retrieve("web").headers == {"X-Key": HEADER}
        assert found_in(home) == [], "while it is open"
        service.agents.update("ada", description="it goes on")
    assert found_in(home) == []
    assert not [*home.glob("*.new*")]
    assert environment(home) == {"TEA_KEY": SECRET}
    with duckdb.connect(path) as now, pytest.raises(duckdb.ConstraintException):
        now.execute("INSERT INTO settings VALUES ($1, 'x'), ($1, 'y')", [encryption.PROJECT])


def test_a_store_of_before_that_is_only_read_makes_no_key(tmp_path: Path, keys: Path) -> None:
    path = tmp_path / "letta.duckdb"
    path.write_bytes(gzip.decompress((DATA / "store-v12.duckdb.gz").read_bytes()))
    held = json.dumps({"environment": {"TEA_KEY": SECRET}})
    with duckdb.connect(path) as old:
        old.execute("UPDATE agents SET settings = $1 WHERE name = 'ada'", [held])
    before = path.read_bytes()
    with opening.open_to_read(path, {}, 1.0) as connection:
        (text,) = connection.execute("SELECT settings FROM agents WHERE name = 'ada'").fetchall()[0]
    assert json.loads(text)["environment"] == {"TEA_KEY": SECRET}
    assert not keys.exists()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.duckdb
def test_a_store_of_before_works_until_its_secrets_can_be_sealed(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No key can be kept, then the disk is full, then a log is left beside the old file."""
    home = tmp_path / ".letta"
    home.mkdir()
    path = home / "letta.duckdb"
    path.write_bytes(gzip.decompress((DATA / "store-v12.duckdb.gz").read_bytes()))
    held = json.dumps({"environment": {"TEA_KEY": SECRET}})
    with duckdb.connect(path) as old:
        old.execute("UPDATE agents SET settings = $1 WHERE name = 'ada'", [held])
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null")
    for _ in range(2):
        assert environment(home) == {"TEA_KEY": SECRET}
        with AgentService(home) as service:
            service.agents.update("ada", description="it goes on")
            service.agents.create("newcomer")
            with pytest.raises(StoreError, match="LETTA_SECRET_KEY"):
                service.agents.update("ada", settings={"environment": {"POT_KEY": PLAIN}})
            service.agents.delete("newcomer")
    (line,) = [one.getMessage() for one in caplog.records if "earlier" in one.getMessage()]
    assert "LETTA_SECRET_KEY" in line
    assert str(path) in line
    monkeypatch.setenv("LETTA_SECRET_KEY", "a long text that nobody guesses")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
        assert environment(home) == {"TEA_KEY": SECRET}
        assert "letta.duckdb" in found_in(home)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_put", refuse)  # killed before the new file was there
        with AgentService(home) as service:
            assert service.agents.update("ada", description="and on")
    (home / "letta.duckdb.new").write_bytes(b"half a file")
    monkeypatch.setattr(opening, "_again", {})  # as in another process
    assert environment(home) == {"TEA_KEY": SECRET}
    assert found_in(home) == []
    assert not [*home.glob("*.new*")]
    with duckdb.connect(path) as now:
        assert ("unsealed",) not in now.execute("SELECT key FROM settings").fetchall()
        now.execute(
            "PRAGMA disable_checkpoint_on_shutdown"
        )  # as where the disk is full when it is closed
        now.execute("UPDATE agents SET description = 'in the log alone'")
        opening.write_anew(now, path)
    with AgentService(home) as service:
        assert service.agents.retrieve("ada").description == "in the log alone"
