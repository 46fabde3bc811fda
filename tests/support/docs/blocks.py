"""The fenced blocks of the pages in docs/.

What a block is follows from its language and from what stands in it: `# name.py` as the first line makes it a file of
that name, `def test_` a test. A block that is not executed has `<!-- not run: reason -->` above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from support.paths import DOCS

PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}

WRITE = "run tox -e generate"
"""What a test of a page says when its generated part is not as it has to be."""

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
        """The name of the file that the block is, or ""."""
        named = re.match(r"# ([\w/]+\.(?:py|toml|cfg))\n", self.text)
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
