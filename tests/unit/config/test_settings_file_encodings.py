"""Settings files as editors write them: with a byte order mark, or in another encoding than UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.api.errors import ConfigurationError
from dcmrecv_core.config.settings_file import read


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_fault_24_a_byte_order_mark_is_left_out(tmp_path: Path, line_end: str) -> None:
    text = f'bind = "192.0.2.1"{line_end}port = 104{line_end}'
    path = tmp_path / "marked.toml"
    path.write_bytes(text.encode("utf-8-sig"))
    assert read(str(path)).values == {"bind": "192.0.2.1", "port": 104}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("port = 104".encode("utf-16"), "is UTF-16, UTF-32 or no text: save it as UTF-8"),
        ("port = 104".encode("utf-16-le"), "is UTF-16, UTF-32 or no text: save it as UTF-8"),
        ("port = 104".encode("utf-32"), "is UTF-16, UTF-32 or no text: save it as UTF-8"),
        (b'# one\n\nbind = "\xe9"', "is not UTF-8 (byte E9 in line 3): save it as UTF-8"),
        (b"\xef\xbb\xbfport = ", "is not TOML: Invalid value (at end of document)"),
    ],
)
def test_fault_24_files_that_are_not_utf_8_say_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "other.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read(str(path))
    assert str(caught.value) == f"{path}: {said}"
