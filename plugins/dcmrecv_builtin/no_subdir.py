"""`-s, --no-subdir` (default): no subdirectories."""

from dcmrecv_core import Instance, hookimpl


@hookimpl
def choose_subdir(instance: Instance) -> str:
    return ""
