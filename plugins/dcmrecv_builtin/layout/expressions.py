"""Regular expressions that cannot be made to run for ever: the time for a match is linear in the text.

    expression  sequence { "|" sequence }
    sequence    { atom [ ( "*" | "+" | "?" | "{n}" | "{n,}" | "{n,m}" ) [ "?" ] ] }       with "?": as few as possible
    atom        character | "." | "^" | "$" | class | "(" expression ")" | "(?:" expression ")"
    class       "[" [ "^" ] { character | character "-" character } "]"
    character   any other, or "\\" and a character that is no letter or digit; \\d \\w \\s \\D \\W \\S as in `re`

`re` goes back and tries again, for hours if an expression such as (a+)+b meets the text of a sender who wants that.
Here an expression becomes a program, and all ways through it are followed at once, one character after the other, each
place of the program once (the method of Thompson and Pike). Of several matches the one is taken that `re` finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_LONGEST_PROGRAM = 500
_DEEPEST = 20

_SPECIAL = ".^$*+?{}[]()|\\"
_TESTS: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "w": lambda character: character.isalnum() or character == "_",
    "s": str.isspace,
}


class ExpressionError(ValueError):
    """An expression that cannot be used, and the offset of the place where it is wrong."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.offset = offset


Test = Callable[[str], bool]


class Step(NamedTuple):
    """One instruction of a program, the next of which follows unless it says otherwise.

    "one": a character passes `test`. "fork": go on at `first`, and less preferably at `second`. "jump": at `first`.
    "save": note the position in slot `first`. "start", "end": the position is that of the text. "match": done.
    """

    kind: str
    first: int = 0
    second: int = 0
    test: Test = bool


class Node(NamedTuple):
    """A part of an expression, which appends its steps to a program."""

    emit: Callable[[list[Step]], None]
    may_be_empty: bool


class Expression:
    """A compiled expression. Raises ExpressionError."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        node = parser.expression()
        if parser.position < len(text):
            raise ExpressionError("')' without '('", parser.position)
        self._program: list[Step] = []
        node.emit(self._program)
        self._program.append(Step("match"))
        self.groups = parser.groups
        """How many groups in parentheses there are."""
        if len(self._program) > _LONGEST_PROGRAM:
            raise ExpressionError("the expression is too long", 0)

    def sub(self, text: str, replacement: Callable[[tuple[str, ...]], str]) -> str:
        """The text with each match replaced by what `replacement` makes of its groups; group 0 is all of it."""
        done, position = "", 0
        while position <= len(text) and (found := self._search(text, position)) is not None:
            start, end = found[:2]
            done += text[position:start]
            done += replacement(tuple(text[first:last] for first, last in zip(found[::2], found[1::2], strict=True)))
            position = end
            if start == end:
                done += text[end : end + 1]
                position += 1
        return done + text[position:]

    def _search(self, text: str, start: int) -> tuple[int, ...] | None:
        """The first match at `start` or later: start and end of it and of each group, 0 and 0 for one without part."""
        program = self._program
        nothing = (0,) * (2 * self.groups + 2)
        found: tuple[int, ...] | None = None
        ways: dict[int, tuple[int, ...]] = {}  # place in the program -> positions noted, in the order of preference
        for position in range(start, len(text) + 1):
            if found is None:
                self._follow(ways, 0, (position, *nothing[1:]), position, len(text))
            following: dict[int, tuple[int, ...]] = {}
            for place, saved in ways.items():
                step = program[place]
                if step.kind == "match":
                    found = (saved[0], position, *saved[2:])
                    break
                if step.kind == "one" and position < len(text) and step.test(text[position]):
                    self._follow(following, place + 1, saved, position + 1, len(text))
            if not following and found is not None:
                break
            ways = following
        return found

    def _follow(
        self, ways: dict[int, tuple[int, ...]], place: int, saved: tuple[int, ...], position: int, end: int
    ) -> None:
        """Add the places that are reached from `place` without another character."""
        waiting = [(place, saved)]
        while waiting:
            place, saved = waiting.pop()
            if place in ways:
                continue
            ways[place] = saved  # forks and the like too, so that none is followed twice
            kind, first, second, _ = self._program[place]
            if kind == "fork":
                waiting += [(second, saved), (first, saved)]
            elif kind == "jump":
                waiting.append((first, saved))
            elif kind == "save":
                waiting.append((place + 1, (*saved[:first], position, *saved[first + 1 :])))
            elif (kind == "start" and position == 0) or (kind == "end" and position == end):
                waiting.append((place + 1, saved))


class _Parser:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.groups = 0
        self._depth = 0

    def expression(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return _either(branches)

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            nodes.append(self._repeated())

        def emit(program: list[Step]) -> None:
            for node in nodes:
                node.emit(program)

        return Node(emit, all(node.may_be_empty for node in nodes))

    def _repeated(self) -> Node:
        start = self.position
        node = self._atom()
        place = self.position
        limits = self._limits()
        if limits is None:
            return node
        least, most = limits
        if node.may_be_empty and (most is None or most > 1):
            raise ExpressionError("what is repeated must not be empty", start)
        if most is not None and most < least:
            raise ExpressionError("the second number is smaller than the first", place)
        return _repeat(node, least, most, greedy=not self._take("?"))

    def _limits(self) -> tuple[int, int | None] | None:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(sign):
                return least, most
        place = self.position
        if not self._take("{"):
            return None
        first = self._number()
        comma = self._take(",")
        second = self._number() if comma else first
        if first is None or not self._take("}"):
            raise ExpressionError(r"a repetition is {n}, {n,} or {n,m}; a brace as such is \{", place)
        return first, second

    def _number(self) -> int | None:
        start = self.position
        while self.position < min(len(self.text), start + 3) and self.text[self.position] in "0123456789":
            self.position += 1
        return int(self.text[start : self.position]) if self.position > start else None

    def _atom(self) -> Node:
        start = self.position
        character = self.text[start]
        self.position += 1
        if character == "(":
            return self._group(start)
        if character == "[":
            return _one(self._class(start))
        if character == ".":
            return _one(lambda character: True)
        if character in "^$":
            return Node(lambda program: program.append(Step("start" if character == "^" else "end")), True)
        if character in "*+?{":
            raise ExpressionError(rf"nothing to repeat; the character as such is \{character}", start)
        if character in "]}":
            raise ExpressionError(rf"{character!r} as such is \{character}", start)
        return _one(self._escaped(start) if character == "\\" else character.__eq__)

    def _group(self, start: int) -> Node:
        number = 0
        if self._take("?"):
            if not self._take(":"):
                raise ExpressionError("groups are (...) and (?:...)", start)
        else:
            self.groups += 1
            number = self.groups
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError("too many groups within each other", start)
        inner = self.expression()
        self._depth -= 1
        if not self._take(")"):
            raise ExpressionError("the group is not closed", start)
        if not number:
            return inner

        def emit(program: list[Step]) -> None:
            program.append(Step("save", 2 * number))
            inner.emit(program)
            program.append(Step("save", 2 * number + 1))

        return Node(emit, inner.may_be_empty)

    def _escaped(self, start: int) -> Test:
        """The test for what follows a backslash at `start`."""
        character = self.text[self.position : self.position + 1]
        self.position += 1
        if character.lower() in _TESTS:
            test = _TESTS[character.lower()]
            return test if character.islower() else lambda other: not test(other)
        if not character or character.isalnum():
            raise ExpressionError(rf"there are \d \w \s \D \W \S, and \ before one of {_SPECIAL} or the like", start)
        return character.__eq__

    def _class(self, start: int) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        while not self._take("]"):
            if self.position >= len(self.text):
                raise ExpressionError("the class is not closed", start)
            tests.append(self._member())
        if not tests:
            raise ExpressionError(r"the class is empty; ']' as such is \]", start)
        return lambda character: any(test(character) for test in tests) != negated

    def _member(self) -> Test:
        """A character of a class, or a range of them."""
        start = self.position
        character = self.text[start]
        self.position += 1
        if character == "[":
            raise ExpressionError(r"'[' in a class is \[", start)
        if character == "\\":
            return self._escaped(start)
        if self.text[self.position : self.position + 1] != "-" or self.text[self.position + 1 : self.position + 2] in (
            "]",
            "",
        ):
            return character.__eq__
        last = self.text[self.position + 1]
        self.position += 2
        if last in "[\\" or last < character:
            raise ExpressionError("a range goes from a character to a later one", start)
        return lambda other: character <= other <= last

    def _take(self, text: str) -> bool:
        taken = self.text.startswith(text, self.position)
        self.position += len(text) * taken
        return taken


def _one(test: Test) -> Node:
    return Node(lambda program: program.append(Step("one", test=test)), False)


def _either(branches: list[Node]) -> Node:
    """The first of the branches that leads to a match."""
    if len(branches) == 1:
        return branches[0]

    def emit(program: list[Step]) -> None:
        ends = []
        for branch in branches[:-1]:
            fork = len(program)
            program.append(Step("fork"))
            branch.emit(program)
            ends.append(len(program))
            program.append(Step("jump"))
            program[fork] = Step("fork", fork + 1, len(program))
        branches[-1].emit(program)
        for end in ends:
            program[end] = Step("jump", len(program))

    return Node(emit, any(branch.may_be_empty for branch in branches))


def _repeat(node: Node, least: int, most: int | None, *, greedy: bool) -> Node:
    def emit(program: list[Step]) -> None:
        for _ in range(least):
            _emit_bounded(node, program)
        forks = [_fork(node, program) for _ in range(1 if most is None else most - least)]
        if most is None:
            program.append(Step("jump", forks[0]))
        for fork in forks:
            ways = (fork + 1, len(program)) if greedy else (len(program), fork + 1)
            program[fork] = Step("fork", *ways)

    return Node(emit, least == 0 or node.may_be_empty)


def _fork(node: Node, program: list[Step]) -> int:
    """Append a fork, to be filled in, and the node that may be left out; the place of the fork."""
    place = len(program)
    program.append(Step("fork"))
    _emit_bounded(node, program)
    return place


def _emit_bounded(node: Node, program: list[Step]) -> None:
    """Repetitions of repetitions must not fill the memory before the length of the program is checked."""
    if len(program) > _LONGEST_PROGRAM:
        raise ExpressionError("the expression is too long", 0)
    node.emit(program)
