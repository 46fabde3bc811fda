"""Are the compiled parts of the receive path there, and wanted?

They handle the regular cases, which are nearly all, and leave the others to the code in Python; they add nothing but
speed. Building a wheel compiles them where there is a C compiler. `DCMRECV_PURE=1` in the environment keeps them out.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

PARTS = ("dcmrecv_core.dataset.regular_walk", "dcmrecv_core.proto.regular_requests")


def _are_there() -> bool:
    if os.environ.get("DCMRECV_PURE") or sys.maxsize < 1 << 32:  # lengths of 32 bits are added to offsets in them
        return False
    try:
        for part in PARTS:
            import_module(part)
    except ImportError:
        return False
    return True


AVAILABLE = _are_there()
