"""Fuzz targets that compare the compiled parts with those in Python: data sets, and streams of messages in pieces."""

from __future__ import annotations

import os
import random
import zlib
from functools import partial
from typing import Any

from dcmrecv_core.dataset.encodings import DEFLATED_LITTLE, EXPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.sources import ByteSource, FileSource, MemorySource
from support.data.datasets import deflate
from support.data.scan_results import outcome_of
from support.data.sources import unnamed_file
from support.fuzz.dataset_targets import BY_FIRST_BYTE, data_set_seeds
from support.fuzz.targets import DELIMITERS, Target
from support.protocol import pdus
from support.protocol.acceptor_runs import Run
from support.protocol.pdus import packed
from support.protocol.sample_conversation import CONVERSATION, REQUEST
from support.without_compiled import in_python

BUFFERS = (16, 400, 4096, 1 << 16)


def fuzz_walk(data: bytes) -> None:
    """The first byte names the encoding."""
    encoding, data = BY_FIRST_BYTE[(data or b"\0")[0] % len(BY_FIRST_BYTE)], data[1:]
    compare_walks(data, encoding)


def compare_walks(data: bytes, encoding: Encoding) -> None:
    """The outcomes are the same with the compiled walk and without: to the end and to the pixel data; in memory, in a
    file whose first half is in memory as well, and deflated."""
    fd = unnamed_file(data)
    try:
        spooled = FileSource(fd, 0, len(data), memoryview(data)[: len(data) // 2])
        ways: list[tuple[ByteSource, Encoding]] = [(MemorySource(memoryview(data)), encoding), (spooled, encoding)]
        if encoding == EXPLICIT_LITTLE:
            ways.append((MemorySource(memoryview(deflate(data))), DEFLATED_LITTLE))
        for source, its_encoding in ways:
            for whole in (True, False):
                scanned = partial(outcome_of, source, its_encoding, whole=whole)
                assert scanned() == in_python(scanned)
    finally:
        os.close(fd)


def fuzz_requests(data: bytes) -> None:
    """The first byte says how large the buffer is, whether a valid request precedes the rest, and whether we are
    strict; all of it says in which pieces the stream comes."""
    options, stream = (data or b"\0")[0], data[1:]
    if options & 12:
        stream = REQUEST + stream[len(REQUEST) :]
    chance = random.Random(zlib.crc32(data))
    cuts = sorted(chance.randint(0, len(stream)) for _ in range(chance.choice((0, 1, 5, 40))))
    size, strict = BUFFERS[options & 3], bool(options & 16)

    def run() -> tuple[Any, ...]:
        return conversed(stream, cuts, size=size, strict=strict)

    assert run() == in_python(run)


def conversed(stream: bytes, cuts: list[int], **options: Any) -> tuple[Any, ...]:
    """The outcome of a stream that comes in pieces and then ends."""
    run = Run(**options)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        run.feed(stream[start:end])
    return run.eof().outcome


def stream_seeds() -> list[bytes]:
    several = packed(random.Random(1), 3, pdus.store_rq(message_id=4), bytes(2000), 300)
    streams = (
        CONVERSATION,
        REQUEST + pdus.store(2, bytes(300)) + pdus.store(3, bytes(3000)) + pdus.release_rq(),
        REQUEST + several + pdus.store(5, b""),
    )
    return [bytes([options]) + stream for stream in streams for options in range(32)]


TARGETS = (
    Target("walk", fuzz_walk, data_set_seeds, (*DELIMITERS, b"SQ\0\0", b"UN\0\0", b"OB\0\0", b"LO", b"UI")),
    Target("requests", fuzz_requests, stream_seeds),
)
