"""A move that is killed, or stopped, at any moment: both places can be told apart, and it goes on."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import every_table
import move_child
import pytest
from store_children import children

from letta_kernel.errors import StoreError
from letta_kernel.store import settings
from letta_kernel.store.database import Database

ROWS = 12


def killed(home: Path, to: str, moment: int) -> None:
    """Let a move be killed at a moment, in a process of its own."""
    child = children().Process(target=move_child.move, args=(home, to, moment))  # type: ignore[attr-defined]
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def moments(tmp_path: Path) -> int:
    """How many moments a move has, counted on a copy."""
    counted = every_table.fill(tmp_path / "counted", seed=7, rows=ROWS).parent
    return move_child.move(counted, str(tmp_path / "counted-to"))


@pytest.mark.duckdb
@pytest.mark.parametrize(
    "tries", [4, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_killed_anywhere_it_goes_on_and_all_is_there(tries: int, tmp_path: Path) -> None:
    chance = random.Random(11)
    all_of_them = moments(tmp_path)
    # The last of them are the most delicate: when one place stops to be the project, and the other begins.
    points = [*range(all_of_them - 2, all_of_them + 1), *range(1, all_of_them - 2)]
    chosen = points[:3] + chance.sample(points[3:], k=min(tries - 3, len(points) - 3))
    for number, moment in enumerate(chosen):
        home = every_table.fill(tmp_path / f"{number}", seed=number, rows=ROWS).parent
        new = tmp_path / f"{number}-to"
        killed(home, str(new), moment)
        open_ = [place for place in (home, new) if is_writable(place)]
        assert len(open_) <= 1, f"two projects, at {moment} of {all_of_them}"
        if home in open_:  # which goes on as if nothing had been
            database = Database(home)
            database.run(lambda tx: tx.execute("UPDATE agents SET description = 'another'"))
            database.run(lambda tx: settings.put(tx, "since", "then"))
            database.close()
            killed(home, str(new), 2 + moment // 2)
        before = every_table.contents(home / "letta.duckdb")
        if new not in open_:
            move_child.move(home, str(new))
        assert every_table.contents(new / "letta.duckdb") == before
        assert is_writable(new)
        assert not is_writable(home)


def is_writable(home: Path) -> bool:
    """Whether there is a project with agents that takes rows."""
    if not (home / "letta.duckdb").exists():
        return False
    database = Database(home)
    try:
        database.run(lambda tx: settings.put(tx, "written", None))
        return database.run(lambda tx: tx.one("SELECT count(*) FROM agents")) != (0,)
    except StoreError:
        return False
    finally:
        database.close()
