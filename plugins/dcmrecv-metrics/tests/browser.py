"""Debian's Chromium without a screen."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

SECONDS = 100.0


class Browser:
    """Each call starts it anew; its profile is in `directory`."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("chromium")
        assert program is not None, "chromium is not installed (Debian: chromium)"
        self._command = [
            program,
            "--headless",
            "--no-sandbox",  # of no use to root, who runs these tests
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={directory / 'profile'}",
        ]
        self._directory = directory

    def screenshot(self, url: str, width: int, height: int) -> Picture:
        """What the page looks like in a window of that size."""
        path = self._directory / "picture.png"
        path.unlink(missing_ok=True)
        self.run(f"--screenshot={path}", f"--window-size={width},{height}", url)
        return Picture(path.read_bytes())

    def text(self, url: str) -> str:
        """The page's document as the browser has it, without markup."""
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.run("--dump-dom", url)))

    def run(self, *arguments: str) -> str:
        """What it prints. AssertionError if it complains about the page, as about what its policy forbids."""
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert complaints == [], complaints
        return done.stdout


class Picture:
    """A PNG file of a browser: eight bits a sample, not interlaced (RFC 2083)."""

    def __init__(self, data: bytes) -> None:
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        self.data = data
        self.width, self.height, depth, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
        assert (depth, interlaced) == (8, 0) and kind in (2, 6)
        self._pixel = 3 if kind == 2 else 4

    def different_rows(self) -> int:
        """How many rows of pixels differ from all others: a blank picture has one or two."""
        stream, position = b"", 8
        while position < len(self.data):
            length, kind = struct.unpack_from(">I4s", self.data, position)
            if kind == b"IDAT":
                stream += self.data[position + 8 : position + 8 + length]
            position += length + 12
        raw, size = zlib.decompress(stream), 1 + self.width * self._pixel  # the first byte is the filter
        return len({raw[start : start + size] for start in range(0, len(raw), size)})
