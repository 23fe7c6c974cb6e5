"""A move that is killed at any moment: both places can be told apart, and it goes on."""

from __future__ import annotations

import random
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import every_table
import move_child
import postgres
import pytest
from full_disk import FullDisk
from postgres import Cluster
from store_children import children

from letta_kernel.errors import StoreError
from letta_kernel.service.moving import Move
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.move import shapes

ROWS = 8
Place = tuple[Path, str]
"""A project's folder and the address of its rows, empty for a file in the folder."""


@dataclass
class Ways:
    """Makes projects in *folder*, and says where they go."""

    folder: Path
    cluster: Cluster

    def places(self, way: str, name: str) -> tuple[Place, Place, str]:
        """Return a project, where it goes, and how that is said."""
        store = self.cluster.url(postgres.project()) if way == "from a server" else ""
        source = filled(self.folder / name, store)
        if way == "to a server":
            to = self.cluster.url(postgres.project())
            return source, (self.folder / name, to), to
        new = self.folder / f"{name}-to"
        return source, (new, ""), str(new)

    def go_on(self, way: str, name: str, moment: int) -> None:
        """Kill a move at a moment, let the project be used, kill it once more; then it is all there."""
        source, target, to = self.places(way, name)
        killed(source, to, moment)
        open_ = [place for place in (source, target) if is_writable(place)]
        assert len(open_) <= 1, f"two projects, at {moment}"
        if source in open_:  # which goes on as if nothing had been
            put(source, "UPDATE agents SET description = 'another'")
            put(source, "INSERT INTO settings VALUES ('since', 'then')")
            killed(source, to, 2 + moment // 2)
        if target not in open_:
            move_child.move(source[0], to, source[1])
        assert is_writable(target)
        assert not is_writable(source)
        assert digests(source) == digests(target)


@pytest.mark.duckdb
@pytest.mark.parametrize(
    ("way", "moment"),
    [("folders", move_child.HANDED_OVER), ("to a server", move_child.HALF_WAY)],
)
def test_killed_it_goes_on_and_all_is_there(
    way: str, moment: int, tmp_path: Path, cluster: Cluster
) -> None:
    Ways(tmp_path, cluster).go_on(way, "home", moment)


@pytest.mark.duckdb
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", ["folders", "to a server", "from a server"])
def test_killed_at_every_moment_it_goes_on_and_all_is_there(
    way: str, tmp_path: Path, cluster: Cluster
) -> None:
    ways = Ways(tmp_path, cluster)
    (home, store), _, to = ways.places(way, "counted")
    all_of_them = move_child.move(home, to, store)
    # The last are the most delicate: when one place stops to be the project, and the other begins.
    last = range(all_of_them - 3, all_of_them)
    others = random.Random(11).sample(range(1, all_of_them - 3), k=60)
    for number, moment in enumerate([*last, *others]):
        ways.go_on(way, str(number), moment)


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_full_disk_is_named_and_the_move_goes_on_when_there_is_room(tmp_path: Path) -> None:
    home, new, full = every_table.fill(tmp_path / "home").parent, tmp_path / "new", FullDisk()

    def look(share: float, told: str) -> None:
        if share > 0.2 and not full_since:
            full_since.append(share)
            full.fill(8192)

    full_since: list[float] = []
    try:
        with pytest.raises(StoreError) as caught:
            Move(home, str(new), "").run(look)
    finally:
        full.free()
    assert "\n" not in str(caught.value)
    assert "full" in str(caught.value) or "space" in str(caught.value)
    assert is_writable((home, ""))
    assert not is_writable((new, ""))
    move_child.move(home, str(new))
    assert digests((home, "")) == digests((new, ""))


@pytest.mark.duckdb
@pytest.mark.slow
@pytest.mark.parametrize("way", ["to a server", "from a server"])
def test_a_server_that_dies_half_way_is_named_and_the_move_goes_on(
    way: str, tmp_path: Path
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="letta-pg-", dir="/tmp"))
    cluster = Cluster(folder, durable=True)
    cluster.make()
    cluster.start()
    try:
        source, target, to = Ways(tmp_path, cluster).places(way, "home")
        for at in (0.1, 0.4, 0.6, 0.95):  # copying, and comparing
            dead: list[float] = []

            def look(share: float, told: str, at: float = at, dead: list[float] = dead) -> None:
                if share >= at and not dead:
                    dead.append(share)
                    cluster.stop()

            with pytest.raises(StoreError) as caught:
                Move(source[0], to, source[1]).run(look)
            assert "\n" not in str(caught.value)
            cluster.start()
            assert not is_writable(target)
            if (
                dead == [1.0]
            ):  # all was compared, and it was being handed over: neither end is left, the move goes on
                break
            assert is_writable(source)
            put(source, f"UPDATE agents SET description = 'at {at}'")
        move_child.move(source[0], to, source[1])
        assert is_writable(target)
        assert not is_writable(source)
        assert digests(source) == digests(target)
    finally:
        cluster.remove()


def killed(source: Place, to: str, moment: int) -> None:
    """Let a move be killed at a moment, in a process of its own."""
    given = (source[0], to, source[1], moment)
    child = children().Process(target=move_child.move, args=given)  # type: ignore[attr-defined]
    child.start()
    child.join(900)
    assert child.exitcode == -signal.SIGKILL


def filled(folder: Path, store: str) -> Place:
    """Make a project with random rows."""
    home = every_table.fill(folder, rows=ROWS).parent
    if store:
        Move(home, store, "").run(lambda share, told: None)
    return home, store


def digests(place: Place) -> dict[str, list[str]]:
    """What is in a place's tables, whatever the order of rows."""
    database = Database(place[0], store=place[1])

    def read(tx: Tx) -> dict[str, list[str]]:
        return {
            one.name: sorted(
                shapes.digest(row).hex()
                for row in tx.query(f'SELECT {one.names} FROM "{one.name}" WHERE {one.condition}')
            )
            for one in shapes.shapes()
        }

    try:
        return database.run(read)
    finally:
        database.close()


def put(place: Place, sql: str) -> None:
    """Run a statement."""
    database = Database(place[0], store=place[1])
    try:
        database.run(lambda tx: tx.execute(sql))
    finally:
        database.close()


def is_writable(place: Place) -> bool:
    """Whether there is a project with agents that takes rows."""
    home, store = place
    if not store and not (home / "letta.duckdb").exists():
        return False
    try:
        put(place, "DELETE FROM settings WHERE key = 'written'")
    except StoreError:
        return False
    database = Database(home, store=store)
    try:
        return database.run(lambda tx: tx.one("SELECT count(*) FROM agents")) != (0,)
    finally:
        database.close()
