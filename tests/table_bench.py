"""A command that tests add to the table."""

ADDED = """\
from letta_kernel.commands import command
from letta_kernel.commands.door import Answer, Door
from letta_kernel.commands.spec import argument, option

@command("greet", "greet", group="Talking")
def greet(
    door: Door,
    whom: str = argument("Who is greeted", values="style"),
    loud: bool = option("In capitals"),
) -> Answer:
    '''Say hello to somebody.'''
    said = f"Hello {whom}"
    return Answer(said.upper() if loud else said, {"said": said})
"""
