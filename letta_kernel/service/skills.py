"""Skills: which there are beside the project, which a person has allowed, and what the tools for them do.

A skill is offered once the person has said yes to it as it is: what was allowed is kept with the person's own
settings, outside any folder that others may have made, as a digest of all its bytes. What is read or run is
compared with that digest once more, so nothing can change in between.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from letta_kernel import private, project
from letta_kernel.errors import LettaError, NotFoundError, StoreError, nearest
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Tool
from letta_kernel.service.core import Core
from letta_kernel.tools import skills
from letta_kernel.tools.execute import Lent
from letta_kernel.tools.outcome import Outcome, shorten_line
from letta_kernel.tools.output import OutputFunction
from letta_kernel.tools.sandbox import View, default_sandbox
from letta_kernel.tools.skills import Skill, SkillError

_OFF = "off"

State = Literal["allowed", "new", "changed", "off", "refused"]


@dataclass(frozen=True, slots=True)
class FoundSkill:
    """A skill that lies there, and whether it is offered; of a refused one ``problem`` says why."""

    name: str
    folder: Path
    state: State
    skill: Skill | None = None
    problem: str = ""


class Skills:
    """The skills of a project's folder and of the folder it lies in."""

    def __init__(self, core: Core) -> None:
        self._home = core.home
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[object, Skill | SkillError]] = {}
        self._told: set[tuple[str, str]] = set()
        self._places: list[Path] = []

    def places(self) -> list[Path]:
        """Return the folders that skills may lie in: the project's, and those beside the notebook."""
        if self._places:
            return self._places
        beside = [self._home.parent] if self._home.name == project.FOLDER else []
        if self._home == project.project_folder():
            beside.append(project.start())
        found = [self._home / "skills"]
        for folder in dict.fromkeys(beside):
            found += [folder / ".agents" / "skills", folder / "skills"]
        self._places = list(dict.fromkeys(found))
        return self._places

    def offered(self, found: Sequence[FoundSkill] | None = None) -> list[Skill]:
        """Return the skills that are offered to agents now, by their names; *found* is what `list` returned."""
        every = self.list() if found is None else found
        allowed = [one.skill for one in every if one.state == "allowed" and one.skill]
        return sorted(allowed, key=lambda skill: skill.name)

    def allow(self, names: Collection[str] = ()) -> list[FoundSkill]:
        """Offer skills as they are now, those of *names* or all; return them."""
        chosen = [one for one in self._chosen(names) if one.skill is not None]
        if names and not chosen:
            first = self._chosen(names)[0]
            raise SkillError(f"{first.name} cannot be offered: {first.problem}.")
        _keep({str(one.folder): one.skill.digest for one in chosen if one.skill})
        return chosen

    def off(self, names: Collection[str] = ()) -> list[FoundSkill]:
        """Offer skills no more, and say nothing of them: those of *names*, or all."""
        chosen = self._chosen(names)
        _keep({str(one.folder): _OFF for one in chosen})
        return chosen

    def _chosen(self, names: Collection[str]) -> list[FoundSkill]:
        found = self.list()
        known = [one.name for one in found]
        for name in names:
            if name not in known:
                there = nearest(name, known) or f" There is: {', '.join(known) or 'none'}."
                raise NotFoundError(f"There is no skill {name!r} here.{there}")
        return [one for one in found if not names or one.name in names]

    def news(self, found: Sequence[FoundSkill]) -> list[str]:
        """Return the names of those *found* that wait for a yes and were not told of in this process."""
        fresh = []
        for one in found:
            if one.skill is not None and one.state in ("new", "changed"):
                mark = (str(one.folder), one.skill.digest)
                if mark not in self._told:
                    self._told.add(mark)
                    fresh.append(one.name + (" (changed)" if one.state == "changed" else ""))
        return fresh

    # -- for a run ---------------------------------------------------------------------------------

    def tools(self, state: AgentState, offered: Sequence[Skill]) -> list[Tool]:
        """Return the tools of a turn by which an agent reaches the skills that are *offered*."""
        if not offered:
            return []
        free = state.settings.get("notebook") == "all"
        found = [skills.record(name) for name in skills.NAMES]
        return [
            one.model_copy(update={"requires_approval": one.requires_approval and not free})
            for one in found
        ]

    def lent(self, offered: Sequence[Skill], view: View | None = None) -> dict[str, Lent]:
        """Return what does the work of those tools, by their ids; scripts see *view* of the files."""
        known = {skill.name: skill for skill in offered}

        def told(
            work: Callable[[Skill, Mapping[str, Any], OutputFunction, Cancel], Outcome],
        ) -> Lent:
            def run(given: Mapping[str, Any], on_output: OutputFunction, cancel: Cancel) -> Outcome:
                try:
                    name = str(given["name"])
                    if name not in known:
                        near = nearest(name, list(known)) or f" There is: {', '.join(known)}."
                        raise SkillError(f"There is no skill {name[:80]!r}.{near}")
                    return work(known[name], given, on_output, cancel)
                except LettaError as error:
                    return Outcome("error", error.text, error=shorten_line(error.text))

            return run

        return {
            skills.record("skill_read").id: told(_read_file),
            skills.record("skill_run").id: told(partial(_run_script, view)),
        }

    # Last, so that `list` in the annotations above is Python's.
    def list(self) -> list[FoundSkill]:
        """Return what lies in the folders of skills, in order; of two of one name the first counts."""
        folders = [folder for place in self.places() for folder in skills.folders_in(place)]
        allowed = _kept() if folders else {}
        found: list[FoundSkill] = []
        names: set[str] = set()
        for folder in folders:
            one = self._skill(folder)
            if isinstance(one, SkillError):
                found.append(FoundSkill(_shown(folder.name), folder, "refused", None, one.text))
                continue
            if one.name in names:
                problem = "another skill of this name goes before it"
                found.append(FoundSkill(one.name, folder, "refused", None, problem))
                continue
            names.add(one.name)
            word = allowed.get(str(folder))
            states: dict[str | None, State] = {None: "new", _OFF: "off", one.digest: "allowed"}
            found.append(FoundSkill(one.name, folder, states.get(word, "changed"), one))
        return found

    def _skill(self, folder: Path) -> Skill | SkillError:
        try:
            mark: object = skills.stamp(folder)
        except SkillError as error:
            return error
        with self._lock:
            known = self._read.get(folder)
        if known is not None and known[0] == mark:
            return known[1]
        try:
            found: Skill | SkillError = skills.read(folder)
        except SkillError as error:
            found = error
        with self._lock:
            self._read[folder] = (mark, found)
        return found


def _files(skill: Skill) -> dict[str, bytes]:
    """Return the files of a skill, if they are still those that were allowed."""
    try:
        files = skills.files_of(skill.folder)
    except SkillError:
        files = {}
    if skills.digest_of(files) != skill.digest:
        raise SkillError(
            f"The skill {skill.name} has changed since it was allowed: the person has to allow it again."
        )
    return files


def _read_file(
    skill: Skill, given: Mapping[str, Any], on_output: OutputFunction, cancel: Cancel
) -> Outcome:
    files = _files(skill)
    path = skills.path_in(skill, str(given.get("file") or skills.FILE))
    try:
        text = files[path].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SkillError(
            f"{path} of the skill {skill.name} is no text; a script may read it."
        ) from None
    if path == skills.FILE and len(skill.paths) > 1:
        others = "\n".join(f"- {one}" for one in skill.paths if one != path)
        text = f"{text.rstrip()}\n\n(Files of this skill:\n{others})"
    limit = skills.record("skill_read").return_limit
    if len(text) > limit:
        text = f"{text[:limit]}\n… {len(text) - limit:,} characters more"
    return Outcome("ok", text)


def _run_script(
    view: View | None,
    skill: Skill,
    given: Mapping[str, Any],
    on_output: OutputFunction,
    cancel: Cancel,
) -> Outcome:
    files = _files(skill)
    path = skills.path_in(skill, str(given["script"]))
    words = [str(word) for word in given.get("arguments") or ()]
    asked = {"files": skills.packed(files), "script": path, "arguments": words}
    return default_sandbox().run(
        skills.SCRIPT, asked, view=view, on_output=on_output, cancel=cancel
    )


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 80 else ascii(name)[1:81]


# -- what the person has allowed -----------------------------------------------------------------------


def _place() -> Path:
    """Return the file that keeps it, among the person's own settings."""
    return private.configuration() / "skills.json"


def _kept() -> dict[str, str]:
    """Return, by folders of skills, the digests that were allowed."""
    try:
        found = json.loads(_place().read_text("utf-8"))
    except (OSError, ValueError, RuntimeError):  # without a home nothing is allowed
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _keep(words: Mapping[str, str]) -> None:
    """Keep what was said of folders of skills.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    if not words:
        return
    try:
        place = _place()
        private.folder(place.parent)
        with FileLock(f"{place}.lock", timeout=10, mode=private.FILE):
            fresh = place.with_name(f"{place.name}.{os.getpid()}")
            try:
                private.write(fresh, json.dumps({**_kept(), **words}, indent=1, sort_keys=True))
                fresh.replace(place)
            finally:
                with suppress(OSError):
                    fresh.unlink()
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"What you allow cannot be kept: {why}.") from None
