"""The words of a line: quotes and options, forgiving towards plain prose.

``shlex`` fails on ``It's Ada's birthday``. Here a quote only opens at the start of a word and only
closes before a blank, and free text is taken from the line just as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.commands.spec import Parameter
from letta_kernel.errors import InvalidInputError, nearest


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the line, its text without quotes, and where it stands."""

    text: str
    start: int
    end: int
    quoted: bool


def split(line: str) -> list[Word]:
    """Split *line* into words; never fails, whatever the quotes."""
    words, at = [], 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        found = _quoted(line, at)
        if found is None:
            end = at
            while end < len(line) and not line[end].isspace():
                end += 1
                # --persona="two words": the quote opens behind the equals sign
                if line[at:end].startswith("--") and line[end - 1] == "=":
                    inner = _quoted(line, end)
                    if inner is not None:
                        found = Word(line[at:end] + inner.text, at, inner.end, False)
                        break
            if found is None:
                found = Word(line[at:end], at, end, False)
        words.append(found)
        at = found.end
    return words


def _quoted(line: str, at: int) -> Word | None:
    """Return the quoted word that opens at *at*; None if none opens or it never closes."""
    if at >= len(line) or line[at] not in "'\"":
        return None
    quote, end = line[at], at + 1
    while end < len(line):
        if line[end] == "\\" and line[end + 1 : end + 2] in (quote, "\\"):
            end += 2
        elif line[end] == quote and (end + 1 == len(line) or line[end + 1].isspace()):
            inside = line[at + 1 : end].replace("\\" + quote, quote)
            if inside.endswith("\\\\"):  # only there one need be written as two
                inside = inside[:-1]
            return Word(inside, at, end + 1, True)
        else:
            end += 1
    return None


def quoted(word: str) -> str:
    """Return *word* as it is typed: in quotes where `split` would not read it as one word otherwise."""
    if word and word[0] not in "'\"" and not any(sign.isspace() for sign in word):
        return word
    quote = "'" if '"' in word and "'" not in word else '"'
    inside = word.replace(quote, "\\" + quote)
    return f"{quote}{inside}{chr(92) if inside.endswith(chr(92)) else ''}{quote}"


def parse(line: str, takes: Sequence[Parameter], *, usage: str) -> dict[str, Any]:
    """Read *line* by what a command takes; return what was given.

    Raises
    ------
    InvalidInputError
        One line that names what is wrong and what is near it, or how the command is used.
    """
    return _Parser(line, takes, usage).run()


class _Parser:
    def __init__(self, line: str, takes: Sequence[Parameter], usage: str) -> None:
        self.line = line
        self.left = [one for one in takes if not one.spelled]
        self.known = {name: one for one in takes for name in one.spelled}
        self.usage = usage
        self.words = split(line)
        self.given: dict[str, Any] = {}
        self.options_ended = False

    def run(self) -> dict[str, Any]:
        # The order of the cases is the grammar: what ends options, options, what nothing is left for, lists,
        # prose, one word.
        at = 0
        while at < len(self.words):
            word = self.words[at]
            first = self.left[0] if self.left else None
            if not word.quoted and word.text == "--" and not self.options_ended:
                self.options_ended = True
                at += 1
            elif self.is_option(word) and not self.belongs_to_command(word):
                at = self.take_option(at)
            elif first is None:
                near = nearest(word.text, list(self.known)) if word.text.startswith("-") else ""
                raise InvalidInputError(
                    f"{word.text!r} is more than was expected.{near} Usage: {self.usage}"
                )
            elif first.kind == "list":
                self.given.setdefault(first.key, []).append(word.text)
                at += 1
            elif first.rest:
                text, at = self.prose(at)
                self.given[first.key] = " ".join(filter(None, (self.given.get(first.key), text)))
            else:
                self.given[self.left.pop(0).key] = _convert(first, word.text)
                at += 1
        missing = [one for one in self.left if one.required and one.key not in self.given]
        if missing:
            raise InvalidInputError(f"{missing[0].key.upper()} is missing. Usage: {self.usage}")
        return self.given

    def is_option(self, word: Word) -> bool:
        """Anything that looks like an option is one, unless it stands amid free text."""
        return not (word.quoted or self.options_ended) and (
            re.match(r"--[A-Za-z]", word.text) is not None
        )

    def belongs_to_command(self, word: Word) -> bool:
        """Whether an option is of the program whose line is given (``npx --yes …``), not one of ours."""
        begun = bool(self.left) and self.left[0].kind == "list" and self.left[0].key in self.given
        return begun and word.text.partition("=")[0] not in self.known

    def take_option(self, at: int) -> int:
        name, equals, value = self.words[at].text.partition("=")
        option = self.known.get(name)
        if option is None:
            near = nearest(name, list(self.known)) or f" Usage: {self.usage}"
            raise InvalidInputError(f"There is no option {name!r} here.{near}")
        at += 1
        if option.kind == "flag":
            if equals:
                raise InvalidInputError(f"{name} takes no value.")
            self.given[option.key] = True
            return at
        if not equals:
            if at >= len(self.words) or self.is_option(self.words[at]):
                raise InvalidInputError(f"{name} needs a value: {option.usage}")
            if option.kind == "text":
                value, at = self.prose(at)
            else:
                value, at = self.words[at].text, at + 1
        if option.takes.repeated:
            self.given.setdefault(option.key, []).append(value)
        else:
            self.given[option.key] = _convert(option, value)
        return at

    def prose(self, at: int) -> tuple[str, int]:
        """Return the text from word *at* up to the next known option, just as it was written."""
        end = at + 1
        if self.words[at].quoted and (end == len(self.words) or self.is_option(self.words[end])):
            return self.words[at].text, end
        while end < len(self.words) and not self.ends_prose(self.words[end]):
            end += 1
        return self.line[self.words[at].start : self.words[end - 1].end], end

    def ends_prose(self, word: Word) -> bool:
        return self.is_option(word) and word.text.split("=", 1)[0] in self.known


def _convert(option: Parameter, value: str) -> Any:
    if option.kind == "list":
        return [part.strip() for part in value.split(",") if part.strip()]
    if option.kind in ("int", "float"):
        try:
            number = int(value) if option.kind == "int" else float(value)
        except ValueError:
            raise InvalidInputError(f"{option.name} needs a number, not {value!r}.") from None
        zero, most = option.takes.least == 0, option.takes.most or float("inf")
        enough = number >= 0 if zero else number > 0
        if not enough or number > most or number == float("inf"):
            least = "from 0 on" if zero else "above 0"
            end = "" if most == float("inf") else f", {most:g} at most"
            raise InvalidInputError(f"{option.name} needs a number {least}{end}, not {value}.")
        return number
    return value


def json_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object; *what* it is begins the error's line.

    Raises
    ------
    InvalidInputError
        It is no JSON, or another kind of it.
    """
    try:
        read = json.loads(text)
    except RecursionError:
        raise InvalidInputError(
            f"{what} no JSON that can be read: it is nested too deeply."
        ) from None
    except ValueError as error:
        raise InvalidInputError(f"{what} no JSON: {error}.") from None
    if not isinstance(read, dict):
        raise InvalidInputError(f'{what} a JSON object: {{"name": value}}.')
    return read
