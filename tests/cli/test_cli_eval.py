"""``letta-kernel eval`` as continuous integration uses it: exit codes, JUnit, a page, no project needed."""

from __future__ import annotations

from xml.etree import ElementTree

from cli_bench import Cli

CASES = """threshold = %s
[[variants]]
name = "demo"
[[cases]]
id = "reads"
messages = ["What is my name?"]
blocks = {human = "The user's name is Ingrid."}
expected = "Ingrid"
[[cases]]
id = "cannot"
messages = ["What is my name?"]
expected = "Ingrid"
"""


def test_the_exit_code_says_how_it_ended(cli: Cli) -> None:
    file = cli.folder / "names.toml"
    file.write_text(CASES % 0.5)
    done = cli("eval", "names.toml", "--junit", "out.xml", "--html", "out.html")
    assert "Written: out.xml" in done.stderr
    assert "Passed: the threshold of 50% is reached." in done.stderr
    suite = ElementTree.parse(cli.folder / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "<script" not in (cli.folder / "out.html").read_text()
    assert not cli.home.exists()
    told = cli("eval", "names.toml", "--threshold", "0.9", "--json", code=1).stdout
    assert '"verdict": "Below the threshold of 90%: demo."' in told
    assert "There is no file none.toml" in cli.fails("eval", "none.toml", code=2)
    file.write_text(CASES % 7)
    assert "'threshold'" in cli.fails("eval", "names.toml", code=2)
