from typing import Final

class _Incomplete: ...

INCOMPLETE: Final[_Incomplete]

def gather(
    memory: bytearray, start: int, end: int, max_pdu: int, contexts: dict[int, tuple[str, str]]
) -> tuple[int, int, bytes, bytes, bytes, slice, slice, int] | _Incomplete | None: ...
