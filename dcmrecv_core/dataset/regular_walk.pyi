from collections.abc import Callable, Iterable

from dcmrecv_core.dataset.elements import PlainElement

class HeaderFormat:
    def __init__(
        self,
        explicit: bool,
        little: bool,
        short_vrs: Iterable[str],
        long_vrs: Iterable[str],
        sequence_tags: Callable[[], Iterable[int]],
    ) -> None: ...

class Elements:
    end: int
    pixel_offset: int
    @property
    def uids(self) -> tuple[str, str] | None: ...
    @property
    def last(self) -> int: ...
    def get(self, tag: int, /) -> PlainElement | None: ...
    def values(self) -> list[PlainElement]: ...
    def __contains__(self, tag: object, /) -> bool: ...
    def __len__(self) -> int: ...

def walk(
    data: bytes | memoryview, size: int, format: HeaderFormat, encapsulated: bool, whole: bool, most: int
) -> Elements: ...
