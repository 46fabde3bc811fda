"""The compiled parts of the receive path, where they are installed: `pip install dcmrecv[compiled]`.

They take what is regular, which is nearly all, and leave everything else to the code in Python, which needs them for
nothing but speed. `DCMRECV_PURE=1` in the environment keeps them out.
"""

from __future__ import annotations

import os

__all__ = ["AVAILABLE", "DISTRIBUTIONS", "dataset", "messages"]

INTERFACE = 2
"""What the parts have to say of themselves: those of another release may expect or yield something else."""

try:
    if os.environ.get("DCMRECV_PURE"):
        raise ImportError("DCMRECV_PURE is set")
    import dcmrecv_compiled
    from dcmrecv_compiled import dataset, messages

    AVAILABLE = dcmrecv_compiled.INTERFACE == INTERFACE
except ImportError:
    AVAILABLE = False

DISTRIBUTIONS = ("dcmrecv-compiled",) if AVAILABLE else ()
"""What `--version` has to name."""
