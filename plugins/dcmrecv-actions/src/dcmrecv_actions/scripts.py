"""Placeholders in the script of a shell that a command names: `sh -c 'echo #a > pipe'`.

No value becomes a part of the script, since what a sender says would be executed then. In place of each placeholder
comes the expansion of an environment variable, which a shell does not execute (POSIX.1, XCU 2.6: only field splitting,
pathname expansion and quote removal follow). It is quoted as its place needs it, so that it is not split either:

    echo #a           echo "${DCMRECV_CALLING_AE_TITLE}"
    echo "from #a"    echo "from ${DCMRECV_CALLING_AE_TITLE}"
    echo 'from #a'    echo 'from '"${DCMRECV_CALLING_AE_TITLE}"''

A place that is misread, as in a here-document, gives a wrong text at worst.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dcmrecv_actions.fields import PLACEHOLDER, variable

# The # of an expansion is none of a placeholder: ${#list}, ${name#prefix}, $#.
_TOKEN = re.compile(
    rf"""
      (?P<literal>   \\. | \$\{{[^}}]*\}} | \$\# )
    | (?P<open>      \$?\( )
    | (?P<close>     \) )
    | (?P<quote>     ["`] )
    | (?P<single>    '[^']*' )
    | (?P<comment>   (?<!\S)\#(?![A-Za-z{{])[^\n]* )
    | (?P<placeholder> {PLACEHOLDER.pattern} )
    | (?P<other>     . )
    """,
    re.VERBOSE | re.DOTALL,
)


def referring(script: str, field_of: Callable[[str], str]) -> str:
    """`script` with an expansion in place of each placeholder; `field_of` gives the field of one."""

    def expansion(placeholder: str) -> str:
        return f"${{{variable(field_of(placeholder))}}}"

    inside = [""]  # what is open: a double quote, a command substitution
    result = []
    position = 0
    while match := _TOKEN.match(script, position):
        token, kind = match[0], match.lastgroup
        quoted = inside[-1] == '"'
        if quoted and kind in ("single", "comment", "open") and token != "$(":
            token, kind = token[0], "other"  # begins nothing there
        if kind == "placeholder":
            result.append(expansion(token) if quoted else f'"{expansion(token)}"')
        elif kind == "single":
            result.append(PLACEHOLDER.sub(lambda found: f"""'"{expansion(found[0])}"'""", token))
        else:
            result.append(token)
        if kind == "open":
            inside.append("(")
        elif (kind == "close" and inside[-1] == "(") or (kind == "quote" and inside[-1] == token):
            inside.pop()
        elif kind == "quote":
            inside.append(token)
        position += len(token)
    return "".join(result)
