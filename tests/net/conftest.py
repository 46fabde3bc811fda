"""The hand-made PDUs and data sets of the end-to-end tests serve here too."""

from __future__ import annotations

import sys
from pathlib import Path

E2E = str(Path(__file__).parent.parent / "e2e")
if E2E not in sys.path:
    sys.path.append(E2E)
