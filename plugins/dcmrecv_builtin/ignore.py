"""`--ignore`: receive and check, but do not store; the sender gets Success."""

from dcmrecv_core import Discard, hookimpl


@hookimpl
def receive() -> Discard:
    return Discard("--ignore")
