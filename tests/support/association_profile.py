"""An association profile file with everything that is allowed in it, for tests that change parts of it."""

from __future__ import annotations

BASE = r"""# a profile with everything
[[TransferSyntaxes]]
[A]
TransferSyntax1 = LocalEndianExplicit
TransferSyntax2 = 1.2.840.10008.1.2
[B-2]
TransferSyntax1 = =JPEGBaseline

[[PresentationContexts]]
[PC]
PresentationContext1 = CTImageStorage\A
PresentationContext2 = 1.2.3.4\ b- 2
[PD]
PresentationContext1 = MRImageStorage\A

[[SCPSCURoleSelection]]
[R]
Role1 = CTImageStorage\Both
Role2 = 1.2.3.4\SCP

[[ExtendedNegotiation]]
[E]
ExtendedNegotiation1 = CTImageStorage\0102fF

[[Profiles]]
[Def]
PresentationContexts = PC
SCPSCURoleSelection = R
ExtendedNegotiation = E
[Two]
PresentationContexts = P D
"""
