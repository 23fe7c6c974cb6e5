"""Files into the archive: once each, going on where an interrupt ended it."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.service import AgentService, FileProgress


def lines(count: int) -> str:
    return "\n\n".join(f"Entry {n}: " + "tea " * 250 for n in range(count))


def test_duplicates_are_recognised_by_content(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("Sencha wants 70 degrees.")
    (tmp_path / "copy.md").write_text("Sencha wants 70 degrees.")
    with AgentService(tmp_path / ".letta") as service:
        service.agents.create("ada")
        first = service.passages.add_files([tmp_path / "one.txt"], ["shelf"], agent="ada")
        again = service.passages.add_files(
            [tmp_path / "one.txt", tmp_path / "copy.md"], agent="ada"
        )
        assert [one.status for one in first + again] == ["added", "known", "known"]
        (passage,) = service.passages.list("ada")
        assert passage.tags == ["shelf"]
        assert passage.metadata["file"] == "one.txt"
        assert len(passage.metadata["sha256"]) == 64
        service.agents.create("bob")  # has an archive of his own
        assert service.passages.add_files([tmp_path / "copy.md"], agent="bob")[0].status == "added"


def test_an_interrupted_file_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text(lines(450))

    def stop(step: FileProgress) -> None:
        if step.done:
            raise KeyboardInterrupt

    with AgentService(tmp_path / ".letta") as service:
        service.agents.create("ada")
        with pytest.raises(KeyboardInterrupt):
            service.passages.add_files([tmp_path / "long.txt"], agent="ada", progress=stop)
        kept = len(service.passages.list("ada", limit=1000))
        assert 0 < kept < 450
        seen: list[FileProgress] = []
        (added,) = service.passages.add_files(
            [tmp_path / "long.txt"], agent="ada", progress=seen.append
        )
        assert added.passages == 450 - kept
        found = service.passages.list("ada", limit=1000)
        assert sorted(passage.position for passage in found) == list(range(450))
        assert sorted(int(p.content.split()[1][:-1]) for p in found) == list(range(450))
        assert (seen[-1].done, seen[-1].passages) == (450, 450)


def test_one_bad_file_among_many_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Tea.")
    (tmp_path / "bad.txt").write_bytes(b"\0\0")
    with AgentService(tmp_path / ".letta") as service:
        service.agents.create("ada")
        bad, good = service.passages.add_files(
            [tmp_path / "bad.txt", tmp_path / "good.txt"], agent="ada"
        )
        assert (bad.status, good.status) == ("failed", "added")
        assert "bad.txt is no text" in bad.why
        with pytest.raises(InvalidInputError, match=r"bad\.txt is no text"):
            service.passages.add_files([tmp_path / "bad.txt"], agent="ada")
        with pytest.raises(InvalidInputError, match="There is no file"):
            service.passages.add_files([tmp_path / "good.txt", tmp_path / "none.txt"], agent="ada")
