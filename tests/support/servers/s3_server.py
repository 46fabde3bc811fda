"""The S3 server of moto, and what is stored in it, read with boto3: not the library that stores."""

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
    """An S3 server; `client` is boto3's, so what is stored is read by another library."""

    def __init__(self, endpoint: str, process: subprocess.Popen[bytes]) -> None:
        self.endpoint = endpoint
        self._process = process
        self.pid = process.pid
        """The leader of its process group."""
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )

    def make_bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def read(self, bucket: str, key: str) -> bytes:
        with self.client.get_object(Bucket=bucket, Key=key)["Body"] as body:
            data: bytes = body.read()
        return data

    def end(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait(_START)


def start_moto(directory: Path) -> S3Server:
    log = directory / "moto.log"
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    running = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
    try:
        found = until(lambda: running.search(log.read_text()), "moto listens", _START, log.read_text)
    except BaseException:
        process.kill()
        process.wait(_START)
        raise
    return S3Server(found[1], process)


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    """One that runs, with an empty `BUCKET`; its log is in `directory`."""
    server = start_moto(directory)
    try:
        server.make_bucket(BUCKET)
        yield server
    finally:
        server.end()
