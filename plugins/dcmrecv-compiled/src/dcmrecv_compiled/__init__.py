"""The hot parts of dcmrecv's receive path, compiled. What they are for is in `dcmrecv_core.compiled`."""

import sys

if sys.maxsize < 1 << 32:
    raise ImportError("lengths of 32 bits are added to offsets here, which takes a 64-bit Python")

INTERFACE = 1
"""Which arguments and results its functions have; a receiver that knows another number does without."""
