"""The hot parts of dcmrecv's receive path, compiled; `dcmrecv_core.compiled` says how they are used."""

import sys

if sys.maxsize < 1 << 32:
    raise ImportError("lengths of 32 bits are added to offsets here, which takes a 64-bit Python")

INTERFACE = 2
"""Stands for the arguments and results of the functions; a receiver with another number does not use them."""
