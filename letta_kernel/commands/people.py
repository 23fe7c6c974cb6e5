"""Persons of a server of many: set up, bounded, given tokens, reported on."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from letta_kernel import settings
from letta_kernel.commands.door import YES, Answer, Rows, Terminal
from letta_kernel.commands.program import GROUP
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.tokens import Right
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.users import checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from letta_kernel.service import AgentService
    from letta_kernel.service.homes import Homes

PEOPLE = option(
    "Where the persons are: a folder, or postgresql://ADMIN@HOST/DATABASE; else LETTA_PEOPLE",
    shown="WHERE",
)
NAME = argument("The person's name: a-z, 0-9, '.', '_', '-'")


@command(None, "people add", group=GROUP)
def add(door: Terminal, name: str = NAME, people: str | None = PEOPLE) -> Answer:
    """Enter a person: with a project of their own, and a token, shown once."""
    homes = _homes(people)
    with homes.registry() as registry:
        registry.people.add(name)
        try:
            place = homes.make(name)
        except BaseException:
            registry.people.remove(name)
            raise
        made, token = registry.tokens.create(_token_name(registry, name), "write", user=name)
    said = f"{name} has a project ({place}) and the token below, which is shown this once."
    data = {"person": name, "project": place, "token": token, "token_name": made.name}
    return Answer(token, data, raw=True, notes=[said])


@command(None, "people list", group=GROUP)
def list_people(door: Terminal, people: str | None = PEOPLE) -> Answer:
    """List the persons, what they may, and what they used today.

    Without --people or LETTA_PEOPLE those whom `people quota` bounds in this project.
    """
    data = []
    for registry in _registry(people, door):
        for one in registry.people.list():
            tokens, dollars, going = registry.people.used(one.name)
            quota = one.model_dump(mode="json", exclude={"id", "created_by", "updated_at"})
            used = {"tokens": tokens, "dollars": round(dollars, 6), "runs": going}
            data.append({**quota, "used_today": used})
    columns = ["person", "tokens today", "of", "dollars today", "of", "runs now", "of"]
    rows = [
        [
            one["name"],
            f"{one['used_today']['tokens']:,}",
            _bound(one["tokens_a_day"]),
            f"{one['used_today']['dollars']:.2f}",
            _bound(one["dollars_a_day"]),
            str(one["used_today"]["runs"]),
            _bound(one["runs_at_once"]),
        ]
        for one in data
    ]
    empty = "Nobody yet: letta-kernel people add NAME enters somebody."
    if not _where(people):
        empty = "Nobody is bounded in this project: letta-kernel people quota NAME bounds somebody."
    return Answer(data=data, rows=lambda: Rows(columns, rows, empty))


@command(None, "people remove", group=GROUP)
def remove(
    door: Terminal,
    name: str = NAME,
    keep: bool = option("Leave the project where it is"),
    yes: bool = YES,
    people: str | None = PEOPLE,
) -> Answer:
    """Take a person out: tokens, what others granted, and the project with all its agents, unless --keep."""
    homes = _homes(people)
    for registry in _registry(people):
        registry.people.retrieve(name)
        lost = ""
        if not keep:
            with homes.open(name) as service:
                agents = service.agents.list(set_aside=True)
                said = sum(one.name != "" for one in agents)
                names = ", ".join(one.name for one in agents[:5])
                shared = len({one.guest for one in service.grants.list()})
            lost = f" {said} agents are lost for good{f' ({names})' if names else ''}"
            lost += f"; {shared} others use some of them." if shared else "."
        if not door.confirmed(f"Remove {name}?{lost}", yes):
            return Answer("Nothing was removed.")
        if not keep:
            with homes.open(name) as service:
                service.store.discard_index()
        registry.people.remove(name)
        _revoke_all(homes, [one.name for one in registry.people.list()], name)
        if not keep:
            homes.remove(name)
    kept = " Their project is left where it is." if keep else ""
    return Answer(
        f"{name} is removed, with their tokens and what was granted to them.{kept}",
        {"person": name, "kept": keep},
    )


@command(None, "people token", group=GROUP)
def token(
    door: Terminal,
    name: str = NAME,
    rights: Right = option("What it allows, each with those before it", Right.write),
    teach: bool = option("It also tells what every person uses; not what was said"),
    days: float | None = option("Days until it expires; never if not given", least=0, most=36_500),
    people: str | None = PEOPLE,
) -> Answer:
    """Make a further token for a person, and show it, once.

    `letta-kernel token list` and `token revoke` know it, with --home naming the registry.
    """
    expires = None if days is None else now() + timedelta(days=days)
    for registry in _registry(people):
        registry.people.retrieve(name)
        made, secret = registry.tokens.create(
            _token_name(registry, name), rights.value, user=name, teach=teach, expires_at=expires
        )
        note = f"The token {made.name!r} is {name}'s. It is shown this once."
        return Answer(
            secret, {"token": secret, "name": made.name, "user": name}, raw=True, notes=[note]
        )
    raise AssertionError


@command(None, "people revoke", group=GROUP)
def revoke(
    door: Terminal,
    token: str = argument("The token's name, as people add or people token said it"),
    people: str | None = PEOPLE,
) -> Answer:
    """Revoke a person's token: whoever uses it is turned out at once."""
    for registry in _registry(people):
        gone = registry.tokens.revoke(token)
        return Answer(f"Revoked the token {gone.name!r} of {gone.user}.", {"token": gone.name})
    raise AssertionError


@command(None, "people quota", group=GROUP)
def quota(
    door: Terminal,
    name: str = NAME,
    tokens: int | None = option("Tokens a day (UTC)", least=0),
    dollars: float | None = option("Dollars a day (UTC)", least=0),
    runs: int | None = option("Runs at once", least=0),
    none: bool = option("Take all bounds away that are not given"),
    people: str | None = PEOPLE,
) -> Answer:
    """Bound what a person's runs may take: in whichever project, in the background, too.

    Without --people or LETTA_PEOPLE it bounds what one with a token of this project may take here
    (`letta-kernel token new NAME --user PERSON`).
    """
    from letta_kernel.records import Person  # not with the table

    given = {"tokens_a_day": tokens, "dollars_a_day": dollars, "runs_at_once": runs}
    if not none:
        given = {key: value for key, value in given.items() if value is not None}
    for registry in _registry(people, door):
        here = not _where(people)
        if given:
            found = registry.people.bound(name, enter=here, **given)
        elif here:
            found = registry.people.find(name) or Person(name=checked_name(name))
        else:
            found = registry.people.retrieve(name)
        said = (
            f"{name} may use {_bound(found.tokens_a_day)} tokens and {_bound(found.dollars_a_day)} dollars"
            f" a day, with {_bound(found.runs_at_once)} runs at once."
        )
        return Answer(said, found)
    raise AssertionError


@command(None, "people report", group=GROUP)
def report(
    door: Terminal,
    days: int = option("How many days back, today included", 30, least=1, most=3660),
    csv_: bool = option("CSV instead of a table"),
    people: str | None = PEOPLE,
) -> Answer:
    """Report what each person used on each day: runs, tokens, dollars; never what was said.

    Without --people or LETTA_PEOPLE it is about those whom `people quota` bounds in this project.
    """
    from dataclasses import asdict

    data: list[dict[str, Any]] = []
    for registry in _registry(people, door):
        data = [asdict(one) for one in registry.people.figures(days)]
    columns = ["day", "person", "runs", "tokens", "dollars"]
    rows = [
        [one["day"], one["person"], str(one["runs"]), str(one["tokens"]), f"{one['cost']:.4f}"]
        for one in data
    ]
    if csv_:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([columns, *rows])
        return Answer(text.getvalue().rstrip("\n"), data, raw=True)
    return Answer(data=data, rows=lambda: Rows(columns, rows, "Nobody ran anything."))


def _revoke_all(homes: Homes, owners: list[str], guest: str) -> None:
    """Take back what others granted to somebody: who is called so later begins with nothing."""
    found = homes.granted(owners, guest)
    for owner in owners if found is None else sorted({one[0] for one in found}):
        with homes.open(owner) as service:
            service.grants.revoke_all(guest)


def _homes(people: str | None) -> Homes:
    from letta_kernel.service.homes import homes

    return homes(_where(people))


def _where(people: str | None) -> str:
    return people or settings.PEOPLE()


def _registry(people: str | None, door: Terminal | None = None) -> Iterator[AgentService]:
    """Yield the registry, once: with *door*, where no place is named, its project; else `NotFoundError`."""
    if door is not None and not _where(people):
        yield door.service
        return
    homes = _homes(people)
    if not homes.exists():
        raise NotFoundError(f"Nobody is entered in {homes.where}: letta-kernel people add NAME.")
    with homes.registry() as registry:
        yield registry


def _token_name(registry: AgentService, name: str) -> str:
    taken = {one.name for one in registry.tokens.list()}
    number = 1
    while (wanted := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    if number > 1000:
        raise InvalidInputError(f"{name} has 1,000 tokens: revoke some.")
    return wanted


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:,}"
