"""The bucket: requests, each with a time limit, and what went wrong in words.

Requests run in an event loop of the worker's only thread. So signals are handled meanwhile, and what takes too long is
given up at once. Only the one request that nearly each instance needs blocks, under a time limit of obstore's: a
hand-over to its threads and back would cost as much as all of the request.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore, S3Store

from dcmrecv_s3.accounts import find_account
from dcmrecv_s3.place import Place

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

CHUNK = 1 << 20
PART = 8 << 20
"""The size of a part of an upload; S3 takes 10 000 of them."""

IN_FLIGHT = 2
"""Parts of one object that are on their way at the same time."""

_COPY_RATE = 16 << 20
"""Bytes a second, at least, that a server is given for a copy of its own."""

_DAY = timedelta(days=1)
_THREADS = "TOKIO_WORKER_THREADS"
_NO_ANSWER = "no answer within {:g} s"
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3}[ \w]{0,40})")
_NO_CREDENTIALS = ("169.254.", "/latest/api/token", "/latest/meta-data", "CredentialsFile")

T = TypeVar("T")


class S3Error(Exception):
    """The text says why the server did not do it."""


class Found(NamedTuple):
    """An object that is there."""

    size: int
    e_tag: str | None


class Bucket:
    """Used by one process, one call at a time."""

    def __init__(self, place: Place) -> None:
        self.place = place
        _begin_threads()
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    @cached_property
    def store(self) -> S3Store:
        """With a checksum of each object, which the server verifies and keeps, and the time limit. Raises S3Error."""
        return _open(self.place, timedelta(seconds=self.place.timeout), checksum_algorithm="SHA256")

    @cached_property
    def parts_store(self) -> S3Store:
        """For what may take longer. Only the signature of each part protects uploads in parts: servers disagree about
        what becomes of checksums of parts in a copy. Raises S3Error."""
        return _open(self.place, _DAY)

    def run(self, steps: Coroutine[Any, Any, T]) -> T:
        """Raises S3Error."""
        return self._loop.run_until_complete(steps)

    async def request(self, call: Any, seconds: float | None = None) -> Any:
        """The answer. Raises S3Error; AlreadyExistsError, PreconditionError or FileNotFoundError if that is what the
        server says of the object."""
        limit = seconds or self.place.timeout
        with self._said():
            try:
                return await asyncio.wait_for(call, limit)
            except TimeoutError:
                raise S3Error(_NO_ANSWER.format(limit)) from None

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except FileNotFoundError as error:
            if _is_of_object(error):
                raise
            raise S3Error(_reason(error, self.place)) from error
        except (BaseError, OSError) as error:
            self._forget_account()
            raise S3Error(_reason(error, self.place)) from error

    def _forget_account(self) -> None:
        """The next request looks for the account again: a token may have expired, and the file have another one."""
        for name in ("store", "parts_store"):
            self.__dict__.pop(name, None)

    def create(self, key: str, data: bytes) -> bool:
        """Whether it is there now; false if the key is taken. Raises S3Error."""
        try:
            self._put(key, data, "create")
        except AlreadyExistsError:
            return False
        return True

    def replace(self, key: str, data: bytes, e_tag: str | None = None) -> bool:
        """Whether it is there now; false if the object is not the one with `e_tag` any more. None: whatever it is.
        Raises S3Error."""
        try:
            self._put(key, data, "overwrite" if e_tag is None else {"e_tag": e_tag})
        except PreconditionError:
            return False
        return True

    def _put(self, key: str, data: bytes, mode: Any) -> None:
        try:
            with self._said():
                obstore.put(self.store, key, data, mode=mode, use_multipart=False)
        except FileNotFoundError as error:  # there is no object to be found by a PUT, unless it is to be replaced
            if isinstance(mode, dict):
                raise PreconditionError(str(error)) from error
            raise S3Error(_reason(error, self.place)) from error

    async def copy(self, key: str, to: str, size: int, *, overwrite: bool) -> bool:
        """Whether it is there now; false if `to` is taken, and not to be overwritten."""
        seconds = self.place.timeout + size / _COPY_RATE
        try:
            await self.request(obstore.copy_async(self.parts_store, key, to, overwrite=overwrite), seconds)
        except AlreadyExistsError:
            return False
        except FileNotFoundError as error:
            raise S3Error("the temporary object is gone") from error
        return True

    async def find(self, key: str) -> Found | None:
        """The object, None if there is none."""
        try:
            meta = await self.request(obstore.head_async(self.store, key))
        except FileNotFoundError:
            return None
        return Found(meta["size"], meta["e_tag"])

    async def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            await self.request(obstore.delete_async(self.store, key))

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Its bytes, in pieces. Raises FileNotFoundError if it is gone."""
        got = await self.request(obstore.get_async(self.parts_store, key))
        pieces = aiter(got.stream(min_chunk_size=CHUNK))
        while True:
            piece = await self.request(_next(pieces))
            if piece is None:
                return
            yield piece

    def fetch(self, key: str, directory: str) -> BinaryIO:
        """A copy of an object, in an unnamed file of `directory`: whoever reads it may need a descriptor. Raises
        OSError, FileNotFoundError if it is gone."""
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile(dir=directory))
            try:
                self.run(self._copy_to(key, copy))
            except S3Error as error:
                raise OSError(f"{self.place.location_of(key)}: {error}") from error
            copy.seek(0)
            stack.pop_all()
        return copy

    async def _copy_to(self, key: str, file: BinaryIO) -> None:
        size = 0
        found = await self.find(key)
        if found is None:
            await self._check_bucket()
            raise FileNotFoundError(2, os.strerror(2), self.place.location_of(key))
        async for piece in self.read(key):
            size += file.write(piece)
        if size != found.size:
            raise S3Error(f"{size} bytes came instead of {found.size}")

    async def _check_bucket(self) -> None:
        """The answer to HEAD does not say whether object or bucket is missing. Raises S3Error if it is the bucket."""
        with suppress(FileNotFoundError):
            await self.request(obstore.get_async(self.store, f"{self.place.prefix}.dcmrecv-none"))

    def remove(self, key: str) -> None:
        """Raises OSError."""
        try:
            self.run(self.delete(key))
        except S3Error as error:
            raise OSError(f"{self.place.location_of(key)}: {error}") from error


@cache
def _begin_threads() -> None:
    """Of obstore, at its first call: one thread, instead of one for each processor, as a process asks one thing at a
    time. Hand-overs between several ones would cost more than they bring."""
    if _THREADS in os.environ:
        return
    os.environ[_THREADS] = "1"
    try:
        obstore.put(MemoryStore(), "none", b"")
    finally:
        del os.environ[_THREADS]  # the programs that other plugins run may need more


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


def _open(place: Place, limit: timedelta, **more: Any) -> S3Store:
    try:
        return _make(place, limit, more)
    except (BaseError, OSError, ValueError) as error:
        raise S3Error(_reason(error, place)) from error


def _make(place: Place, limit: timedelta, more: dict[str, Any]) -> S3Store:
    config: S3Config = {
        "region": "us-east-1",
        **find_account(),  # type: ignore[typeddict-item]
        **more,
        "copy_if_not_exists": "multipart",
        "disable_bulk_delete": True,
    }
    if place.endpoint is not None:
        config["endpoint"] = place.endpoint
    seconds = timedelta(seconds=place.timeout)
    client: ClientConfig = {
        "allow_http": urlsplit(config.get("endpoint", "")).scheme == "http",
        "connect_timeout": seconds,
        "timeout": limit,
    }
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        with open(bundle, "rb") as file:
            client["root_certificate"] = file.read()
    return S3Store(
        place.bucket, config=config, client_options=client, retry_config={"max_retries": 2, "retry_timeout": seconds}
    )


def _is_of_object(error: FileNotFoundError) -> bool:
    code = _CODE.search(str(error))
    return code is None or code[1] == "NoSuchKey"


def _reason(error: Exception, place: Place) -> str:
    """In words; obstore's own text has several lines, and the addresses of requests."""
    text = str(error)
    if any(mark in text for mark in _NO_CREDENTIALS):
        return "no credentials found"
    if code := _CODE.search(text):
        return {
            "NoSuchBucket": f"bucket {place.bucket} does not exist",
            "NotImplemented": "the server does not implement this",
        }.get(code[1], f"the server says {code[1]}")
    if status := _STATUS.search(text):
        return f"the server says {status[1].strip()}"
    if "kind: Timeout" in text:
        return _NO_ANSWER.format(place.timeout)
    if "kind: Connect" in text:
        return "cannot connect to the server"
    if isinstance(error, ValueError | OSError):
        return text.splitlines()[0] if text else type(error).__name__
    return "the connection failed" if "HTTP error" in text else text.partition("\n")[0]
