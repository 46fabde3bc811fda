from typing import Final

from dcmrecv_core.proto.dimse import Command
from dcmrecv_core.proto.events import DataReceived, StoreRequested

INCOMPLETE: Final[str]

def encode_response(context_id: int, command: Command, status: int, max_length: int) -> bytes | None: ...
def read_request(
    memory: bytearray, view: memoryview, start: int, end: int, max_pdu: int, contexts: dict[int, tuple[str, str]]
) -> tuple[StoreRequested, DataReceived | None, int, int] | None: ...
def read_data_set(
    memory: bytearray, view: memoryview, start: int, end: int, left: int, max_pdu: int, context_id: int
) -> tuple[DataReceived, int, int] | str | None: ...
