"""The S3 server of moto, and what its bucket holds, read with boto3: not the library that stores."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from dcmrecv_core.testing import until

KEYS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret-of-tests", "AWS_REGION": "us-east-1"}
BUCKET = "images"
_START = 60.0


class S3Server:
    """A running server with an empty bucket."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_REGION"],
        )
        self._client.create_bucket(Bucket=BUCKET)

    def keys(self) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        with self._client.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
            data: bytes = body.read()
        return data

    def close(self) -> None:
        self._client.close()


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    """Its log is in `directory`."""
    log = directory / "moto.log"
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        running = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
        found = until(lambda: running.search(log.read_text()), "moto listens", _START, log.read_text)
        server = S3Server(found[1])
        yield server
        server.close()
    finally:
        process.kill()
        process.wait(_START)
