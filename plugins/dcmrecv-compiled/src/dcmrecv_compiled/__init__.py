"""The hot parts of dcmrecv's receive path, compiled. What they are for is in `dcmrecv_core.compiled`."""

INTERFACE = 1
"""Which arguments and results its functions have; a receiver that knows another number does without."""
