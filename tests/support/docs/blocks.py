"""The fenced blocks of the pages in docs/.

Language and content say what a block is: with `# name.py` as the first line, or after `#!/bin/sh`, it is a file of
that name, with `def test_` a test. A block that is not executed has `<!-- not run: reason -->` above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from support.paths import DOCS

PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}

WRITE = "run tox -e generate"
"""The message of a test if the generated part of a page is out of date."""

_BLOCK = re.compile(r"(?:^<!-- not run: (.+) -->\n)?^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def file(self) -> str:
        """The name of the file in the block, or ""."""
        named = re.match(r"(?:#!.*\n)?# ([\w/-]+\.(?:py|toml|cfg|sh))\n", self.text)
        return named.group(1) if named else ""

    @property
    def is_test(self) -> bool:
        return self.language == "python" and "\ndef test_" in self.text

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    text = PAGES[page]
    return [
        Block(page, text.count("\n", 0, match.start(3)), match[2], match[3], match[1] or "")
        for match in _BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
