"""Groups in a notebook: made, talked to with ``%%agent @team``, seen as one conversation."""

from __future__ import annotations

from kernel_notebook import Notebook

SCRIPTS = {
    "lea": 'call: send_message_to_all_agents_in_group(message="Well?")\n\nsay: They differ.',
    "ada": "say: Yes.\n\nsay: Yes, still.",
    "ben": "say: No.\n\nfail: on strike",
}


def test_a_group_is_made_and_talked_to(notebook: Notebook) -> None:
    for name, moves in SCRIPTS.items():
        notebook.run(f"%%script {name}\n{moves}")
        notebook.run(f"%agent new {name} --model scripted/{name}")
    made = notebook.run("%agent group new team ada,ben --manager supervisor --supervisor lea")
    assert "Made the group @team: lea asks ada, ben, then answers." in made.text
    again = notebook.run("%agent group new team ada,ben --manager supervisor --supervisor lea")
    assert "Found the group @team" in again.text
    ran = notebook.run("%%agent @team\nIs it so?")
    assert ran.status == "ok"
    speakers = [(one["name"], one["place"]) for one in ran.items("speaker")]
    assert speakers == [("lea", 2), ("ada", 0), ("ben", 1), ("lea", 2)]
    assert [one["text"] for one in ran.items("answer")] == ["Yes.", "No.", "They differ."]
    assert "@team" in ran.text

    notebook.run("%agent group new row ada,ben")
    failed = notebook.run("%%agent @row\nStill?")
    assert failed.status == "error"
    assert "ben: on strike" in failed.evalue + failed.text
    assert [one["text"] for one in failed.items("answer")] == ["Yes, still."]

    listed = notebook.run("%agent group list").text
    assert "@team" in listed
    assert "@row" in listed
    assert "They differ." in notebook.run("%agent group show @team").text
    assert "4 turns" in notebook.run("%agent group change row --max-turns 4").text
    refused = notebook.run("%%agent @rows\nHello")
    assert "Did you mean '@row'?" in refused.evalue + refused.text
    assert "@row" in notebook.complete("%%agent @r")
    assert "is deleted" in notebook.run("%agent group delete @row").text
