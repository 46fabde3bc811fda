"""`-s, --no-subdir` (default): no subdirectories."""

from dcmrecv_core import hookimpl


@hookimpl
def choose_subdir() -> str:
    return ""
