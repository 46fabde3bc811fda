"""Gives an instance a key, and decides what happens if that is taken: the policies of files, with objects.

    CT.dcm   CT~2.dcm, CT~3.dcm ...    the next content of that key (`rename`)
    CT.dcm   CT~0a1b2c3d.dcm           another instance of that key, by a hash of its SOP Instance UID

An equal object is not written again. There are no locks: a free key is taken by a request that creates only, an object
of the same instance replaced by one that names its ETag.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import struct
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import BinaryIO, Protocol

from dcmrecv_core import NameTakenError, OnExists
from dcmrecv_s3.client import Bucket, Found, S3Error
from dcmrecv_s3.upload import make_upload

log = logging.getLogger("dcmrecv.s3")

_DUPLICATE = 0x0111
_OUT_OF_RESOURCES = 0xA700
_PREAMBLE_LENGTH = 128
_SOP_INSTANCE_UID = 0x0003
_LONGEST_META = 1 << 16
_MOST_NAMES = 1024
_MOST_TRIES = 100
"""How often a key is tried that others keep giving and removing."""

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
_DIGITS = 8
_CERTAIN = 32
"""Digits of a mark where objects do not tell instances apart: command and data set have different UIDs."""


class Storable(Protocol):
    """An `Instance`, or one that was received before."""

    @property
    def sop_instance_uid(self) -> str:
        """That of its command, or after a replacement the new one."""

    @property
    def on_exists(self) -> OnExists: ...

    def open(self) -> BinaryIO:
        """Its complete file."""


def store(bucket: Bucket, instance: Storable, key: str, unconditional: bool) -> str:
    """Store the instance under `key`, or another one as its policy says; returns the key.

    Raises S3Error; NameTakenError if the policy is "refuse", "retry" or "keep" and another content has the key.
    """
    with instance.open() as file:
        storing = _Storing(bucket, instance, file, unconditional)
        return key if storing.is_done_at_once(key) else bucket.run(storing.store(key))


class _Storing:
    def __init__(self, bucket: Bucket, instance: Storable, file: BinaryIO, unconditional: bool) -> None:
        self._bucket = bucket
        self._instance = instance
        self._file = file
        self._unconditional = unconditional
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._upload = make_upload(bucket, file, self._size)
        self._overwrites = instance.on_exists == "overwrite"

    def is_done_at_once(self, key: str) -> bool:
        """Whether one request was enough, as nearly always."""
        if self._unconditional and not self._overwrites:
            return False
        return self._upload.put(key, overwrite=self._overwrites)

    async def store(self, key: str) -> str:
        try:
            if self._overwrites:
                await self._upload.replace(key, None)
                return key
            return await self._store_carefully(key)
        finally:
            with suppress(S3Error):  # it is stored all the same, or there is a reason why not
                await self._upload.discard()

    async def _store_carefully(self, key: str) -> str:
        for other in self._keys(key):
            if await self._try(other, is_marked=other != key):
                if other != key and self._instance.on_exists != "rename":
                    log.warning("%s is another instance, so SOP instance %s is %s", key, self._uid, other)
                return other
        raise S3Error("no free key found")

    @property
    def _uid(self) -> str:
        return self._instance.sop_instance_uid

    def _keys(self, key: str) -> Iterator[str]:
        """The keys to try in turn."""
        yield key
        found = _EXTENSION.search(key)
        stem, extension = (key[: found.start()], found.group()) if found else (key, "")
        if self._instance.on_exists == "rename":
            yield from (f"{stem}~{number}{extension}" for number in range(2, _MOST_NAMES))
        else:
            digest = hashlib.sha256(self._uid.encode()).hexdigest()
            digits = _CERTAIN if self._is_doubtful else _DIGITS
            yield from (f"{stem}~{digest[at : at + digits]}{extension}" for at in range(0, len(digest), digits))

    async def _try(self, key: str, *, is_marked: bool) -> bool:
        """Whether the instance has this key; false if it needs another one."""
        for _ in range(_MOST_TRIES):
            found = await self._bucket.find(key)
            if found is None:
                if await self._create(key):
                    return True
                continue
            with suppress(FileNotFoundError):  # removed meanwhile
                if await self._is_equal(key, found):
                    return True
                match self._instance.on_exists:
                    case "rename":
                        return False
                    case "retry":
                        raise NameTakenError(_OUT_OF_RESOURCES, key)
                    case "refuse" | "keep":
                        raise NameTakenError(_DUPLICATE, key)
                if not await self._is_same(key, is_marked=is_marked):
                    return False
                if await self._upload.replace(key, None if self._unconditional else found.e_tag):
                    return True
        raise S3Error("others keep changing the object")

    async def _create(self, key: str) -> bool:
        return await (self._upload.replace(key, None) if self._unconditional else self._upload.create(key))

    async def _is_equal(self, key: str, found: Found) -> bool:
        if found.size != self._size:
            return False
        self._file.seek(0)
        async with aclosing(self._bucket.read(key)) as pieces:
            async for piece in pieces:
                if self._file.read(len(piece)) != bytes(piece):
                    return False
        return True

    async def _is_same(self, key: str, *, is_marked: bool) -> bool:
        """Whether the object is this SOP instance, by its File Meta Information."""
        if self._is_doubtful:
            return is_marked
        head = b""
        async with aclosing(self._bucket.read(key)) as pieces:
            async for piece in pieces:
                head += piece
                if len(head) >= _LONGEST_META:
                    break
        return _uid_in(head) == self._own_uid

    @property
    def _own_uid(self) -> str | None:
        self._file.seek(0)
        return _uid_in(self._file.read(_LONGEST_META))

    @property
    def _is_doubtful(self) -> bool:
        return self._own_uid != self._uid


def _uid_in(head: bytes) -> str | None:
    """The Media Storage SOP Instance UID of a file that begins so (PS3.10 section 7.1); None if it has none."""
    if head[_PREAMBLE_LENGTH : _PREAMBLE_LENGTH + 4] != b"DICM":
        return None
    at = _PREAMBLE_LENGTH + 4
    while at + 12 <= len(head):
        group, number, vr, length = struct.unpack_from("<HH2sH", head, at)
        if group != 2:
            break
        at += 8
        if vr in (b"OB", b"UN"):
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
        if number == _SOP_INSTANCE_UID:
            return head[at : at + length].rstrip(b"\0 ").decode("latin-1") or None
        at += length
    return None
