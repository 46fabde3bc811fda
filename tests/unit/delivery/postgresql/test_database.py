"""The URL of a database, as it is noted in a file."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from dcmrecv_core.delivery.postgresql.database import without_password


@pytest.mark.parametrize("secret", ["password", "sslpassword"])
def test_no_secret_is_noted(secret: str) -> None:
    noted = without_password(f"postgresql://u@h/d?sslmode=require&{secret}=geheim")
    assert conninfo_to_dict(noted) == {"user": "u", "host": "h", "dbname": "d", "sslmode": "require"}
