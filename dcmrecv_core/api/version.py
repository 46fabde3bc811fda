"""Name and version: on the command line, in A-ASSOCIATE-AC and in File Meta Information."""

from __future__ import annotations

__version__ = "1.0.0"

API_VERSION = (1, 0)
"""Of the interface to plugins. The second number grows with each addition, the first one with each removal. What that
means for a plugin is said in docs/plugins/api-version.md."""

DATE = "2026-11-30"
"""Day of the version, for the first line of every text the program prints."""

IMPLEMENTATION_CLASS_UID = "2.25.65871213554523810692944570292819065455"
"""Fixed for all versions (PS3.7 D.3.3.2.1): a UUID made once, below the root for such UIDs (PS3.5 annex B.2)."""

IMPLEMENTATION_VERSION_NAME = "DCMRECV_PY_100"
"""At most 16 characters (PS3.7 D.3.3.2.3)."""
