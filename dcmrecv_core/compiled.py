"""The compiled parts of the receive path, where they are installed: `pip install dcmrecv[compiled]`.

They handle the regular cases, which are nearly all, and leave the others to the code in Python; they add nothing but
speed. `DCMRECV_PURE=1` in the environment keeps them out.
"""

from __future__ import annotations

import os

__all__ = ["AVAILABLE", "DISTRIBUTIONS", "dataset", "messages"]

INTERFACE = 2
"""The version that the parts must state: those of another release may take or return something else."""

try:
    if os.environ.get("DCMRECV_PURE"):
        raise ImportError("DCMRECV_PURE is set")
    import dcmrecv_compiled
    from dcmrecv_compiled import dataset, messages

    AVAILABLE = dcmrecv_compiled.INTERFACE == INTERFACE
except ImportError:
    AVAILABLE = False

DISTRIBUTIONS = ("dcmrecv-compiled",) if AVAILABLE else ()
"""For `--version`."""
