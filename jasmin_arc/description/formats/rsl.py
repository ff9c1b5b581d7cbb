"""RSL, the grammar beneath xRSL: conditions such as ``(name = value "another")``, joined by ``&``.

It has quotes of three kinds, comments, sequences, concatenation by ``#``, and variables of ``rsl_substitution``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Union

from jasmin_arc._support.xml import MAX_LENGTH
from jasmin_arc.exceptions import InvalidJobDescription

Value = Union[str, "list[Value]"]
"""A text, or a sequence in parentheses"""

_SPACE = re.compile(r"(?:[ \t\n\v\f\r]|\(\*.*?\*\))*", re.DOTALL)
_WORD = re.compile(r"""[^+&|()=<>!"'^#$ \t\n\v\f\r]+""")
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>")
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Condition:
    """One ``attribute operator values``; the attribute in lower case and without underscores, as RSL compares it."""

    attribute: str
    operator: str
    values: tuple[Value, ...]


def parse(text: str) -> list[Condition]:
    """Read the conditions of one job; an error names the line."""
    if len(text) > MAX_LENGTH:
        raise InvalidJobDescription(f"xRSL: the text is longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    conditions = parser.request(0)
    if parser.next_char():
        raise parser.error("something follows the end of the description")
    return conditions


def quote(text: str) -> str:
    """Write a text so that :func:`parse` and ARC read the same back."""
    quoted = text.replace('"', '""')
    # ARC looks for comments inside of quotes too, and fails where one does not end: so none may seem to begin.
    return '"' + quoted.replace("(*", '(" # "*') + '"'


@dataclass
class _Parser:
    text: str
    position: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    def error(self, what: str) -> InvalidJobDescription:
        line = self.text.count("\n", 0, self.position) + 1
        return InvalidJobDescription(f"xRSL, line {line}: {what}")

    def next_char(self) -> str:
        """Skip space and comments, and return the next character without taking it; empty at the end."""
        space = _SPACE.match(self.text, self.position)
        self.position = space.end() if space else self.position
        if self.text.startswith("(*", self.position):
            raise self.error("the end of a comment is missing")
        return self.text[self.position : self.position + 1]

    def _take(self, char: str) -> None:
        if self.next_char() != char:
            raise self.error(f"{char!r} expected, not {self.next_char() or 'the end'!r}")
        self.position += 1

    def request(self, depth: int) -> list[Condition]:
        if self.next_char() in ("+", "|"):
            what = "several jobs" if self.next_char() == "+" else "alternatives"
            raise self.error(f"{what} in one description are not supported; give each a text of its own")
        if depth > _MAX_DEPTH:
            raise self.error("the parentheses are nested too deeply")
        self._take("&")
        conditions: list[Condition] = []
        while not conditions or self.next_char() == "(":
            self._take("(")
            nested = self.next_char() in ("&", "+", "|")
            conditions += self.request(depth + 1) if nested else [self._condition()]
            self._take(")")
        return conditions

    def _condition(self) -> Condition:
        self.next_char()
        attribute = self._text().lower().replace("_", "")
        self.next_char()
        operator = _OPERATOR.match(self.text, self.position)
        if not operator:
            raise self.error(f"one of = != < > <= >= expected after {attribute!r}")
        self.position = operator.end()
        condition = Condition(attribute, operator[0], tuple(self._values(0)))
        if attribute == "rslsubstitution":
            for pair in condition.values:
                texts = [text for text in pair if isinstance(text, str)] if isinstance(pair, list) else []
                if len(pair) != 2 or len(texts) != 2:
                    raise self.error("rsl_substitution needs pairs of texts: a name and a value")
                self.variables[texts[0]] = texts[1]
        return condition

    def _values(self, depth: int) -> list[Value]:
        if depth > _MAX_DEPTH:
            raise self.error("the parentheses are nested too deeply")
        values: list[Value] = []
        while True:
            before = self.position
            char = self.next_char()
            if char in (")", ""):
                return values
            if char == "(":
                self._take("(")
                values.append(self._values(depth + 1))
                self._take(")")
                continue
            # Texts that touch each other are one, as in $(HOME)/data.
            joined = char == "#" or (before == self.position and bool(values) and isinstance(values[-1], str))
            if char == "#":
                self._take("#")
                self.next_char()
            text = self._text()
            left = (values.pop() if values else None) if joined else ""
            if not isinstance(left, str):
                raise self.error("# needs a text on its left")
            values.append(left + text)

    def _text(self) -> str:
        char = self.text[self.position : self.position + 1]
        if char in ("'", '"'):
            return self._quoted(char)
        if char == "^":
            self.position += 1
            return self._quoted(self.text[self.position : self.position + 1])
        if char == "$":
            return self._variable()
        word = _WORD.match(self.text, self.position)
        if not word:
            raise self.error(f"a text expected, not {char or 'the end'!r}; put it in quotes if it is one")
        self.position = word.end()
        return word[0]

    def _quoted(self, delimiter: str) -> str:
        start = self.position
        pieces: list[str] = []
        while delimiter and self.text.startswith(delimiter, self.position):
            end = self.text.find(delimiter, self.position + 1)
            if end < 0:
                break
            pieces.append(self.text[self.position + 1 : end])
            self.position = end + 1
            if not self.text.startswith(delimiter, self.position):
                return delimiter.join(pieces)
        self.position = start
        raise self.error("the end of a quoted text is missing")

    def _variable(self) -> str:
        self._take("$")
        self._take("(")
        self.next_char()
        name = self._text()
        self._take(")")
        if name not in self.variables:
            raise self.error(f"the variable {name!r} is not defined by rsl_substitution")
        return self.variables[name]
