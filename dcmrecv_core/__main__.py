"""`python -m dcmrecv_core` is `dcmrecv`."""

import sys

from dcmrecv_core.cli import main

sys.exit(main())
