"""An instance on its way into the bucket: in one request, or in parts.

In parts it goes under a temporary key first, unless it may overwrite whatever has its key: an upload in parts has no
conditions, so the object gets its key by a copy within the server, which has one. Both are complete or not there.
"""

from __future__ import annotations

import uuid
from typing import BinaryIO, Protocol

import obstore

from dcmrecv_s3.client import CHUNK, IN_FLIGHT, PART, Bucket

TEMPORARY = ".dcmrecv-upload"
"""Below the prefix: objects that a killed worker leaves there may be removed after a day."""


AT_ONCE = PART
"""The largest object that goes in one request."""


class Upload(Protocol):
    """One instance."""

    size: int

    def put(self, key: str, *, overwrite: bool) -> bool:
        """Whether it has this key now, by one request; false if it takes more, or the key is taken."""

    async def create(self, key: str) -> bool:
        """Whether it has this key now; false if that is taken."""

    async def replace(self, key: str, e_tag: str | None) -> bool:
        """Whether it has this key now; false if the object there is not the one with `e_tag` any more. None: whatever
        it is."""

    async def discard(self) -> None:
        """Remove what is not needed any more."""


class WholeUpload:
    """In one request."""

    def __init__(self, bucket: Bucket, data: bytes) -> None:
        self._bucket = bucket
        self._data = data
        self.size = len(data)

    def put(self, key: str, *, overwrite: bool) -> bool:
        return self._bucket.replace(key, self._data) if overwrite else self._bucket.create(key, self._data)

    async def create(self, key: str) -> bool:
        return self._bucket.create(key, self._data)

    async def replace(self, key: str, e_tag: str | None) -> bool:
        return self._bucket.replace(key, self._data, e_tag)

    async def discard(self) -> None:
        pass


class PartsUpload:
    """In parts, under a temporary key when it is first needed there."""

    def __init__(self, bucket: Bucket, file: BinaryIO, size: int) -> None:
        self._bucket = bucket
        self._file = file
        self.size = size
        self._temporary = ""

    def put(self, key: str, *, overwrite: bool) -> bool:
        return False

    async def create(self, key: str) -> bool:
        return await self._bucket.copy(await self._uploaded(), key, self.size, overwrite=False)

    async def replace(self, key: str, e_tag: str | None) -> bool:
        """A copy has no condition on what it replaces: between a look at it and this, it must not be removed and made
        again as another instance."""
        if e_tag is None:
            await self._upload(key)
            return True
        temporary = await self._uploaded()
        found = await self._bucket.find(key)
        if found is None or found.e_tag != e_tag:
            return False
        return await self._bucket.copy(temporary, key, self.size, overwrite=True)

    async def discard(self) -> None:
        if self._temporary:
            await self._bucket.delete(self._temporary)

    async def _uploaded(self) -> str:
        if not self._temporary:
            temporary = f"{self._bucket.place.prefix}{TEMPORARY}/{uuid.uuid4().hex}"
            writer = await self._sent(temporary)
            self._temporary = temporary  # it may be there from now on, also if the answer is lost
            await self._bucket.request(_closed(writer))
        return self._temporary

    async def _upload(self, key: str) -> None:
        await self._bucket.request(_closed(await self._sent(key)))

    async def _sent(self, key: str) -> obstore.AsyncWritableFile:
        """Which has all parts, and is to be closed: there is an object then."""
        # no `async with`: its end would complete the upload after an error, too
        writer = obstore.open_writer_async(self._bucket.parts_store, key, buffer_size=PART, max_concurrency=IN_FLIGHT)
        self._file.seek(0)
        while piece := self._file.read(CHUNK):
            await self._bucket.request(_written(writer, piece))
        return writer


async def _written(writer: obstore.AsyncWritableFile, piece: bytes) -> None:
    await writer.write(piece)


async def _closed(writer: obstore.AsyncWritableFile) -> None:
    await writer.close()


def make_upload(bucket: Bucket, file: BinaryIO, size: int) -> Upload:
    """`file` has `size` bytes, the whole object."""
    if size > AT_ONCE:
        return PartsUpload(bucket, file, size)
    return WholeUpload(bucket, file.read(size))  # without the size it would come in small pieces
