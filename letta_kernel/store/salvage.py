"""Read what is readable of a damaged database file and its log, in a copy of them.

DuckDB refuses a log from the first bad entry on, and a file for one bad block. Here a log is cut before its
first bad entry, so that all before it is replayed. Blocks with a wrong checksum get a right one, and then what
still makes sense is read, table by table and row by row, in another process (`extract`), which may crash over
it. Where nothing of that helps, the newest backup takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel.store import last_commit, opening
from letta_kernel.store.automatic_backups import listed, read_whole
from letta_kernel.store.database_file import CONFIG, RESTRICTED, copy_file, discard
from letta_kernel.store.invariants import Finding
from letta_kernel.store.last_commit import HEAD, PAGE, header, log_of, page_is_good, page_sum

_BAD_ENTRY = re.compile(r"entry at byte position (\d+) ")
_ENDS = re.compile(rb"\x05\0{7}.{8}d\0d\xff\xff", re.DOTALL)  # the entry that ends a commit
_BLOCK = 262_144  # bytes
_LONGEST = 1_800.0  # seconds for reading one damaged file
_PROBLEMS = (duckdb.Error, RuntimeError, OSError, MemoryError)


def salvage(temp: Path, path: Path) -> list[Finding]:
    """Make the copy *temp* of the store at *path* one that opens and can be read to its end.

    Returns
    -------
    list of Finding
        What is wrong with the files, and what was done about it in the copy; empty if they are sound.
    """
    for left in temp.parent.glob(f"{temp.name}.*"):
        if left != log_of(temp):
            left.unlink()
    if not temp.exists() or temp.stat().st_size == 0:
        return [_from_backup(temp, path, "it is empty")]
    bad = opens(temp, without_log=True)
    found = [] if bad is None else _mend_file(temp, path, bad)
    if log_of(temp).exists():
        found += mend_log(temp, path)
        if not found and (bad := opens(temp)) is not None:
            found = _mend_file(temp, path, bad)
    return found


def opens(temp: Path, *, without_log: bool = False) -> str | None:
    """Return why a copy cannot be read to its end; None if it can."""
    log, aside = log_of(temp), temp.with_name(temp.name + ".aside")
    if without_log and log.exists():
        os.replace(log, aside)
    try:
        with contextlib.closing(
            duckdb.connect(temp, read_only=True, config=RESTRICTED)
        ) as connection:
            read_whole(connection)
        return None
    except _PROBLEMS as error:
        return _line(error, temp)
    finally:
        if aside.exists():
            os.replace(aside, log)


# -- the log -------------------------------------------------------------------------------------------


def mend_log(temp: Path, path: Path) -> list[Finding]:
    """Cut the log of a copy before its first bad entry, where it has one."""
    log = log_of(temp)
    if not log.exists():
        return []
    data = log.read_bytes()
    begun = last_commit.begun(data)
    bad = ""
    if (begun is None or not _is_of(temp, begun)) and (head := _head_of_a_log(temp)) is not None:
        bad, data = "its first bytes are damaged", head + data[len(head) :]
        log.write_bytes(data)
        begun = last_commit.begun(data)
    start = len(data) if begun is None else begun[2]
    every = max(len(_ENDS.findall(data)), len(commits(data, start)))
    end = len(data)
    while (error := _refused(temp)) is not None:
        at = _BAD_ENTRY.search(error)
        end, before = (int(at[1]) - 16 if at is not None else start), end
        if not start <= end < before:
            log.unlink()
            break
        bad = bad or f"it has a bad entry at byte {end:,}"
        with log.open("r+b") as file:
            file.truncate(end)
    left = len(commits(data[:end], start)) if log.exists() else 0
    if not bad and log.exists():
        return []
    every = every or (record.commits if (record := last_commit.read(path)) is not None else 0)
    text = f"the log cannot be read to its end ({bad or error}): {left} of {every} commits in it are good"
    return [Finding("log", text, "go on with what comes before")]


def commits(log: bytes, start: int) -> list[int]:
    """Return where each commit of a log ends, as far as one entry follows the other."""
    ends, at = [], start
    while at + 16 <= len(log):
        at += 16 + int.from_bytes(log[at : at + 8], "little")
        if at <= len(log) and _ENDS.fullmatch(log[at - 21 : at]):
            ends.append(at)
    return ends


def left(temp: Path) -> int:
    """Return how many commits the log of a copy has."""
    log = log_of(temp)
    data = log.read_bytes() if log.exists() else b""
    begun = last_commit.begun(data)
    return 0 if begun is None else len(commits(data, begun[2]))


def _is_of(temp: Path, begun: tuple[bytes, int, int]) -> bool:
    with temp.open("rb") as file:
        store = header(file.read(HEAD))
    return store is None or (begun[0] == store[0] and store[1] - begun[1] in (0, 1))


def _head_of_a_log(temp: Path) -> bytes | None:
    """Return what a log of this database file begins with, from one that DuckDB begins for a copy of it."""
    probe = temp.with_name(temp.name + ".probe")
    try:
        copy_file(temp, probe)
        with contextlib.closing(duckdb.connect(probe, config=CONFIG)) as connection:
            connection.execute("CREATE TABLE probe (id integer)")
            data = log_of(probe).read_bytes()
        begun = last_commit.begun(data)
        return None if begun is None else data[: begun[2]]
    except _PROBLEMS:
        return None
    finally:
        discard(probe)


def _refused(temp: Path) -> str | None:
    try:
        duckdb.connect(temp, read_only=True, config=RESTRICTED).close()
        return None
    except _PROBLEMS as error:
        return _line(error, temp)


def _line(error: BaseException, temp: Path) -> str:
    """Return what DuckDB says in one line, about the store and not its copy."""
    return str(error).partition("\n")[0].replace(f'"{temp}', '"the store')[:160]


# -- the file ------------------------------------------------------------------------------------------


def _mend_file(temp: Path, path: Path, bad: str) -> list[Finding]:
    """Mend the pages and blocks of a copy as far as that goes; else put a backup in its place."""
    pages = _mend_pages(temp, path)
    if pages and opens(temp, without_log=True) is None:
        return [Finding("file", f"its first pages are damaged ({bad})", "write them anew")]
    blocks = _mend_blocks(temp)
    fresh = temp.with_name(temp.name + ".fresh")
    told = _extracted(temp, fresh)
    if told is None:  # the lists of tables may be readable as they were one checkpoint before
        discard(fresh)
        told = _extracted(temp, fresh) if _turn_back(temp) else None
    if told is None:
        discard(fresh)
        return [_from_backup(temp, path, bad)]
    discard(temp)
    os.replace(fresh, temp)
    filled = _filled(temp, path)
    text = f"{blocks} blocks are damaged ({bad}): {told}; texts in them may be altered"
    return [Finding("file", text, f"keep what can be read{filled}")]


def _mend_pages(temp: Path, path: Path) -> bool:
    """Put right the first three pages; whether any of them was wrong."""
    kept = _pages(last_commit.kept_head(path))
    with temp.open("r+b") as file:
        pages = _pages(file.read(HEAD))
        good = [page_is_good(page) for page in pages]
        if all(good) and len(good) == 3:
            return False
        if not good[0]:
            pages[0] = _first_page(temp, path)
        elif kept and kept[0] != pages[0]:
            kept = []  # of another file
        headers = [page for page in (*pages[1:], *kept[1:]) if page_is_good(page)]
        if headers:
            pages[1:] = [max(headers, key=_checkpoints)] * 2
        file.seek(0)
        file.write(b"".join(pages))
    return True


def _turn_back(temp: Path) -> bool:
    """Let the older of the two headers be the one that counts; False if there is none."""
    with temp.open("r+b") as file:
        pages = _pages(file.read(HEAD))
        if len(pages) < 3:  # a file of a few bytes
            return False
        older = min(pages[1:], key=_checkpoints)
        if not _checkpoints(older) or pages[1] == pages[2]:
            return False
        log_of(temp).unlink(missing_ok=True)
        file.seek(PAGE)
        file.write(older * 2)
    return True


def _pages(head: bytes) -> list[bytes]:
    return [head[start : start + PAGE] for start in range(0, len(head), PAGE)]


def _checkpoints(page: bytes) -> int:
    return int.from_bytes(page[8:16], "little")


def _filled(temp: Path, path: Path) -> str:
    """Add to the rows that could be read those of the newest backup that are not among them."""
    other = temp.with_name(temp.name + ".backup")
    try:
        for backup in listed(path.parent):
            copy_file(backup.path, other)
            if opens(other) is not None:
                continue
            opening.open_database(other, CONFIG, 0).close()
            with contextlib.closing(opening.open_database(temp, CONFIG, 0)) as connection:
                attached = str(other).replace("'", "''")
                connection.execute(f"ATTACH '{attached}' AS other (READ_ONLY)")
                for table, has_key in connection.execute(
                    "SELECT table_name, has_primary_key FROM duckdb_tables()"
                    " WHERE database_name = 'other' AND table_name <> 'schema_version'"
                ).fetchall():
                    # Without a key a row is known by all that it holds.
                    how = "INSERT OR IGNORE INTO" if has_key else "INSERT INTO"
                    rest = "" if has_key else f' EXCEPT SELECT COLUMNS(*) FROM "{table}"'
                    connection.execute(
                        f'{how} "{table}" BY NAME SELECT COLUMNS(*) FROM other."{table}"{rest}'
                    )
            return f", the rest from the copy of {backup.made.astimezone():%Y-%m-%d %H:%M}"
    except _PROBLEMS:
        pass
    finally:
        discard(other)
    return ""


def _first_page(temp: Path, path: Path) -> bytes:
    """Return the page that says what a file is: as it was kept, of a backup, else of a new file."""
    if page_is_good(page := last_commit.kept_head(path)[:PAGE]):
        return page
    for backup in listed(path.parent):
        with backup.path.open("rb") as file:
            if page_is_good(page := file.read(PAGE)):
                return page
    probe = temp.with_name(temp.name + ".probe")
    try:
        duckdb.connect(probe, config=CONFIG).close()
        page = probe.read_bytes()[:PAGE]
    finally:
        discard(probe)
    log = log_of(temp)
    begun = last_commit.begun(log.read_bytes()[:128]) if log.exists() else None
    if begun is None:
        return page
    page = page[8 : last_commit.NAME.start] + begun[0] + page[last_commit.NAME.stop :]
    return page_sum(page).to_bytes(8, "little") + page


def _mend_blocks(temp: Path) -> int:
    """Give blocks with a wrong checksum a right one; return how many those are."""
    bad = 0
    with temp.open("r+b") as file:
        file.seek(HEAD)
        at = HEAD
        while block := file.read(_BLOCK):
            block = block.ljust(_BLOCK, b"\0")
            right = page_sum(block[8:]).to_bytes(8, "little")
            if block[:8] != right:
                bad += 1
                file.seek(at)
                file.write(right + block[8:])
            at += _BLOCK
            file.seek(at)
    return bad


def _extracted(temp: Path, fresh: Path) -> str | None:
    """Copy what makes sense into the new file *fresh*; return how much that is, None if it is no agent."""
    report = temp.with_name(temp.name + ".report")
    command = [
        sys.executable,
        "-m",
        "letta_kernel.store.extract",
        str(temp),
        str(fresh),
        str(report),
    ]
    told: list[dict[str, Any]] = []
    try:
        report.touch(mode=0o600)
        begun = -1
        while begun < (begun := sum("rows" not in one for one in told if "table" in one)):
            subprocess.run(
                command,
                timeout=_LONGEST,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            told = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
            if any("done" in one for one in told):
                break
    except subprocess.TimeoutExpired:
        pass
    finally:
        report.unlink(missing_ok=True)
    rows: dict[str, list[int]] = {one["table"]: one["rows"] for one in told if "rows" in one}
    if not rows.get("agents", [0])[0]:
        return None
    read, lost = (sum(counts[place] for counts in rows.values()) for place in (0, 1))
    return f"{read:,} rows can be read, {lost:,} not"


def _from_backup(temp: Path, path: Path, bad: str) -> Finding:
    """Put the newest backup that can be read in the copy's place, or an empty store if there is none."""
    discard(temp)
    for backup in listed(path.parent):
        copy_file(backup.path, temp)
        if opens(temp) is None:
            when = f"{backup.made.astimezone():%Y-%m-%d %H:%M}"
            text = f"nothing of {path.name} can be read ({bad})"
            return Finding("file", text, f"put the copy of {when} in its place")
        discard(temp)
    return Finding(
        "file", f"nothing of {path.name} can be read ({bad}), and there is no copy", "begin anew"
    )
