"""Where the code under test comes from: the installed wheel (tox), else the source tree."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent

for name, place in (("dcmrecv_core", ROOT), ("dcmrecv_builtin", ROOT / "plugins")):
    if find_spec(name) is None:
        sys.path.append(str(place))
