"""Whose lines a query asks for: the user's own, or what the assistant said; and who says a line."""

from __future__ import annotations

import numpy as np
import pytest

from letta_kernel.ids import now
from letta_kernel.memory import roles, search
from letta_kernel.records import Passage

ASSISTANTS = """What did you recommend for my knee?
    How did you suggest I structure the essay?
    the book you told me about
    Have you ever recommended a film?
    Did you already name a hotel?
    What have you previously listed for me?
    What was your advice on the roof?
    Which restaurants were I given?
    What did the assistant say about taxes?
    Was hast du mir für mein Knie empfohlen?
    Welches Buch hattest du vorgeschlagen?
    Was war dein Rat zum Dach?
    Que m'as-tu conseillé pour mon genou ?
    Quel livre avez-vous recommandé ?
    ¿Qué me recomendaste para la rodilla?
    ¿Qué libro me has sugerido?
    O que você recomendou para o meu joelho?
    Cosa mi hai consigliato per il ginocchio?
    Wat heb je mij aangeraden voor mijn knie?
    Что ты посоветовал мне для колена?
    Co mi poleciłeś na kolano?
    你之前给我推荐了什么书？
    你说过我的膝盖应该怎么办？
    膝についてあなたは何を勧めましたか
    おすすめを教えてくれた本は何でしたか
    무릎에 대해 네가 뭐라고 말했지?"""
USERS = """What is my cat called?
    Can you tell me where I live?
    Do you remember what I told you about our house?
    Could you list the books I mentioned?
    Have you got the list of my allergies?
    Did you know my sister named her cat Momo?
    Do you know who called me on Monday?
    Have you seen what Kim wrote about our house?
    The agent called me about my flat.
    Was I given a bike by my aunt?
    Hast du die Liste, die Kim mir gegeben hat?
    Hast du gewusst, dass meine Schwester ihre Katze Momo genannt hat?
    As-tu la liste que ma sœur m'a donnée ?
    ¿Has visto mi carta, la que Kim ha escrito?
    Hai la lista che Kim mi ha dato?
    Heb je mijn lijst die Kim heeft gegeven?
    Ты знаешь, что мне сказал Ким?
    你记得我妈妈说的地址吗
    Was habe ich dir über mein Knie gesagt?
    Où est-ce que je travaille ?
    ¿Cómo se llama mi gato?
    Как зовут моего кота?
    你能告诉我我的猫叫什么吗
    我跟你说过我住在哪里
    私の猫の名前は"""
NOBODYS = """Where does Kim live?
    Did Kim ever get the list?
    US rules on drones, and those of the EU
    the harbour at night
    张伟的邮箱地址"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("queries", "role"),
    [(ASSISTANTS, roles.ASSISTANT), (USERS, roles.USER), (NOBODYS, roles.NOBODY)],
    ids=["the assistant's", "the user's", "anybody's"],
)
def test_a_query_says_whose_lines_it_asks_for(queries: str, role: int) -> None:
    assert [query for query in lines(queries) if roles.asked_for(query) != role] == []


def kept(archive, agent: str, texts: list[str]) -> None:
    archive.insert_many(
        [
            Passage(agent_id=agent, content=text, source="talk", position=n, created_at=now())
            for n, text in enumerate(texts)
        ]
    )


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("user", "assistant"),
        ("Kunde", "Bot"),
        ("用户", "助手"),
        ("Ada", "AI"),
        ("Customer", "Agent"),
        ("Human", "Claude"),
    ],
)
def test_a_line_of_whom_a_query_asks_about_comes_first(project, user: str, assistant: str) -> None:
    archive = project.archive()
    filler = [f"{user}: the weather on day {n} was fair" for n in range(12)]
    said = [f"{user}: swimming for the sore knee", f"{assistant}: swimming for the sore knee"]
    kept(archive, "agent-ada", [*filler, said[0], *filler, said[1]])

    def first(query: str) -> str:
        return str(archive.search("agent-ada", query)[0].passage.content)

    assert first("What did I do for my sore knee, swimming?") == said[0]
    assert first("What did you suggest for my sore knee, swimming?") == said[1]


@pytest.mark.parametrize("way", ["read", "loaded", "candidates"])
def test_who_talks_to_an_assistant_is_the_user_however_far_the_assistant_is(
    project, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    archive = project.archive()
    kept(
        archive, "agent-ada", ["AI: hello", *["Ada: fair"] * 30, "Ada: swimming for the sore knee"]
    )
    other = "Kim: swimming for the sore knee"
    archive.insert_many([Passage(agent_id="agent-ada", content=other, tags=["ai"], source="form")])
    archive.catch_up()
    if way != "read":
        monkeypatch.setattr(search, "LARGE", 20)
        monkeypatch.setattr(search, "HUGE", 25 if way == "candidates" else 1000)
    archive = project.archive()
    hits = archive.search("agent-ada", "What did you suggest for the sore knee, swimming?")
    assert archive._engine._of("agent-ada").way == way
    assert hits[0].passage.content == other


def test_neither_a_tag_nor_a_label_without_its_partner_is_a_role() -> None:
    def found(*speakers: str, tag: str = "ai") -> list[int]:
        each = np.array([roles.of(who, [tag], False) for who in speakers], dtype=np.int8)
        named = np.array([bool(who) for who in speakers])
        return list(roles.with_partners(each, named, np.ones(len(speakers), dtype=np.int64)))

    assert found("model", "colour", "", tag="assistant") == [roles.NOBODY] * 3
    assert found("client", "name") == found("me", "kim") == found("du", "") == [roles.NOBODY] * 2
    assert found("human", "claude") == found("customer", "agent") == [roles.USER, roles.ASSISTANT]
    assert found("kim", "bot", "") == [roles.USER, roles.ASSISTANT, roles.NOBODY]
    assert found("assistant") == [roles.ASSISTANT]
    said = [roles.of("model", [tag], True) for tag in ("user", "assistant", "event", "ai")]
    assert said == [roles.USER, roles.ASSISTANT, roles.NOBODY, roles.NOBODY]
