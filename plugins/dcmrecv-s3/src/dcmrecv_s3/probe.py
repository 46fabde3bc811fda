"""Whether a server obeys conditions.

Some servers take requests with conditions and ignore these: two instances with one key would then replace each other
unseen. At the start a process of its own asks, because a client has threads, and the receiver forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import NoReturn

from dcmrecv_s3.client import Bucket, S3Error
from dcmrecv_s3.place import Place

UNCONDITIONAL = "the server ignores conditions (If-None-Match)"


async def obeys_conditions(bucket: Bucket) -> bool:
    """Make an object, try to replace it under conditions that are not met, and remove it. Raises S3Error."""
    key = f"{bucket.place.prefix}.dcmrecv-probe-{uuid.uuid4().hex}"
    bucket.replace(key, b"dcmrecv")
    try:
        if bucket.create(key, b"another") or bucket.replace(key, b"another", '"0"'):
            return False
        return not await bucket.copy(key, key, 0, overwrite=False)
    finally:
        with suppress(S3Error):  # the answer counts
            await bucket.delete(key)


def ask(place: Place) -> tuple[bool | None, str]:
    """Whether the server of `place` obeys conditions; None, with the reason, if that cannot be found out now."""
    command = [sys.executable, "-P", "-c", "from dcmrecv_s3.probe import main; main()"]
    try:
        answer = subprocess.run(
            command,
            input=json.dumps(asdict(place)),
            capture_output=True,
            text=True,
            timeout=place.timeout + 10,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {place.timeout + 10} s"
    except subprocess.CalledProcessError as error:
        return None, f"asking ended with {error.returncode}: {error.stderr[-200:].strip()}"
    obeys, reason = json.loads(answer.stdout)
    return obeys, reason


def main() -> NoReturn:
    bucket = Bucket(Place(**json.load(sys.stdin)))
    try:
        answer: tuple[bool | None, str] = (bucket.run(obeys_conditions(bucket)), "")
    except S3Error as error:
        answer = (None, str(error))
    print(json.dumps(answer), flush=True)
    os._exit(0)  # obstore's threads go on, and may crash an interpreter that ends
