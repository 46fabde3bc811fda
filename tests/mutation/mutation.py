"""The mutation run: `python tests/mutation/mutation.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.mutation.mutation_run import main

sys.exit(main())
