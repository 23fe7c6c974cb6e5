"""Whose lines a query asks for: the user's own, or what the assistant said; and who says a line."""

from __future__ import annotations

import pytest

from letta_kernel.ids import now
from letta_kernel.memory import roles
from letta_kernel.records import Passage

ASSISTANTS = """What did you recommend for my knee?
    How did you suggest I structure the essay?
    the book you told me about
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
    Was habe ich dir über mein Knie gesagt?
    Où est-ce que je travaille ?
    ¿Cómo se llama mi gato?
    Как зовут моего кота?
    你能告诉我我的猫叫什么吗
    我跟你说过我住在哪里
    私の猫の名前は"""
NOBODYS = """Where does Kim live?
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
    [("user", "assistant"), ("Kunde", "Bot"), ("用户", "助手"), ("Ada", "AI")],
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
