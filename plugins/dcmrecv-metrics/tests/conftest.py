from __future__ import annotations

pytest_plugins = ["dcmrecv_core.testing"]
