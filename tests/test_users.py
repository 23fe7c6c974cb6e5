"""Who acts: the one function that says in whose name rows are written."""

from __future__ import annotations

import pytest

from letta_kernel import users
from letta_kernel.errors import InvalidInputError
from letta_kernel.records import Block
from letta_kernel.users import Actor, acting, checked_name, current_owner, current_user


def test_who_acts_is_set_or_the_hubs_or_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_USER", " ann ")
    monkeypatch.setenv("JUPYTERHUB_USER", "hubby")
    assert current_user() == current_owner() == Block(label="a").created_by == "ann"
    monkeypatch.delenv("LETTA_USER")
    assert current_user() == "hubby"
    monkeypatch.delenv("JUPYTERHUB_USER")
    users._login.cache_clear()
    monkeypatch.setenv("LOGNAME", "logged")
    assert current_user() == "logged"
    users._login.cache_clear()
    with acting(Actor("bob", "ann")):
        assert (current_user(), current_owner()) == ("bob", "ann")
        assert Block(label="a").created_by == "bob"
    monkeypatch.setenv("LETTA_USER", "a\x1bb")  # a name goes to terminals
    assert "\x1b" not in current_user()


@pytest.mark.parametrize("name", ["ann", "a", "bob.b-2_x", "0ab", "a" * 48])
def test_a_person_may_be_called(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "Ann",
            "a/b",
            "a b",
            ".ann",
            "-ann",
            "a'b",
            'a"b',
            "a;b",
            "а" + "nn",
            "a\nb",
            "a..b",
            "ann.",
        ),
        *("public", "pg_ann", "postgres", "letta_people", "ann\n", "ａ" + "nn", "a%2fb", "a" * 49),
    ],
)
def test_a_person_cannot_be_called(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be called"):
        checked_name(name)
