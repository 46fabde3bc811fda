"""Expressions of layouts: they match what `re` matches, in a bounded number of steps, and errors show their place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcmrecv_builtin.layout.expressions import Expression, ExpressionError

CHARACTERS = ["a", "b", ".", r"\.", r"\\", r"\d", r"\W", "[ab]", "[^a]", r"[a-c\d]", "[-b]", "[b-]", "^", "$", "é"]
COUNTS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{1,}", "{0,2}?"]
EXPRESSIONS = st.recursive(
    st.sampled_from(CHARACTERS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        inner.map("(?:{})".format),
        st.tuples(inner, st.sampled_from(COUNTS)).map(lambda pair: "(?:{}){}".format(*pair)),
    ),
    max_leaves=8,
)


def as_re(expression: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", expression), re.DOTALL)


def shown(groups: tuple[str, ...]) -> str:
    return f"<{','.join(groups)}>"


@settings(deadline=None, max_examples=400)
@given(EXPRESSIONS, st.text("abc.\\1 é(_\n", max_size=12))
@example("a*", "baac")
@example("(a|ab)(c|bcd)", "abcd")
@example("(?:(a)|b)*", "ab")
@example("a*?$", "aab")
@example("^a|b", "aab")
def test_a_match_is_that_of_re(expression: str, text: str) -> None:
    try:
        compiled = Expression(expression)
    except ExpressionError as error:
        assert str(error) == "what is repeated must not be empty"
        return

    found: list[str] = []
    compiled.sub(text, lambda groups: str(found.append(groups[0])))
    matches = [match[0] for match in as_re(expression).finditer(text)]
    # after a match of nothing `re` looks for another one at the same place
    compared = None if all(matches) else matches.index("") + 1
    assert found[:compared] == matches[:compared]


@pytest.mark.parametrize(
    ("expression", "text", "groups"),
    [
        ("(a+)(b?)", "aab", ("aab", "aa", "b")),
        ("(a)|(b)", "b", ("b", "", "b")),
        ("((a)b)+", "abab", ("abab", "ab", "a")),
        ("(a+?)(a*)", "aaa", ("aaa", "a", "aa")),
        (r"(\w+)_(?:x|y)(\d{2,3})", "a_b_y1234", ("a_b_y123", "a_b", "123")),
    ],
)
def test_groups(expression: str, text: str, groups: tuple[str, ...]) -> None:
    found: list[tuple[str, ...]] = []
    Expression(expression).sub(text, lambda groups: str(found.append(groups)))
    assert found == [groups]


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)+b", "(a|aa)+$", ".*.*.*.*b", "(?:a?){0,1}a*a*a*b"])
def test_no_text_takes_long(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`re` would need longer than the universe has for some of them. Each start is tried at most once at each place."""
    visited = 0
    follow = Expression._follow

    def counted(self: Expression, ways: dict[int, Any], *rest: Any) -> None:
        nonlocal visited
        before = len(ways)
        follow(self, ways, *rest)
        visited += len(ways) - before

    monkeypatch.setattr(Expression, "_follow", counted)
    compiled = Expression(expression)
    text = "a" * 256
    compiled.sub(text, shown)
    assert 0 < visited <= len(compiled._program) * (len(text) + 1)


KINDS = r"there are \d \w \s \D \W \S, and \ before one of .^$*+?{}[]()|\ or the like"
MALFORMED = [
    ("a closing parenthesis alone", "ab)c", "')' without '('", 2),
    ("an open group", "a(b", "the group is not closed", 1),
    ("a look-ahead", "a(?=b)", "groups are (...) and (?:...)", 1),
    ("an open class", "a[b", "the class is not closed", 1),
    ("an empty class", "a[]", "the class is empty; ']' as such is \\]", 1),
    ("a class of POSIX", "[[:alpha:]]", "'[' in a class is \\[", 1),
    ("a range that falls", "[a-cz-x]", "a range goes from a character to a later one", 4),
    ("a range to a kind", r"[a-\d]", "a range goes from a character to a later one", 1),
    ("nothing to repeat", "a|*", "nothing to repeat; the character as such is \\*", 2),
    ("a repetition of a repetition", "a**", "nothing to repeat; the character as such is \\*", 2),
    ("a repetition of what may be empty", "b(a*)+", "what is repeated must not be empty", 1),
    ("a brace", "a{b}", r"a repetition is {n}, {n,} or {n,m}; a brace as such is \{", 1),
    ("a repetition without end", "a{2", r"a repetition is {n}, {n,} or {n,m}; a brace as such is \{", 1),
    ("numbers that fall", "a{3,2}", "the second number is smaller than the first", 1),
    ("a closing brace", "a}", r"'}' as such is \}", 1),
    ("a closing bracket", "a]", r"']' as such is \]", 1),
    ("an unknown kind", r"a\bc", KINDS, 1),
    ("a backslash at the end", "a\\", KINDS, 1),
    ("too many repetitions", "a{501}", "the expression is too long", 0),
    ("repetitions of repetitions", "(((a{99}){99}){99}){99}", "the expression is too long", 0),
    ("a long expression", "a" * 501, "the expression is too long", 0),
    ("groups without end", "(" * 5000, "too many groups within each other", 20),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "text", "offset"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_malformed(expression: str, text: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(expression)
    assert (str(caught.value), caught.value.offset) == (text, offset)


@settings(deadline=None, max_examples=200)
@given(st.text("ab[]()?:*+{}1,2-^$\\d|.é", max_size=20))
def test_any_expression_is_understood_or_refused_at_a_place_in_it(expression: str) -> None:
    try:
        compiled = Expression(expression)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(expression)
    else:
        compiled.sub("abc123", shown)
