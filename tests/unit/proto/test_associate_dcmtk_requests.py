"""Requests as DCMTK 3.6.7 sends them, captured from its programs and annotated."""

from __future__ import annotations

import pytest

from dcmrecv_core.api.model import UserIdentity
from dcmrecv_core.proto import events
from dcmrecv_core.proto.associate import AssociateRequest
from support.protocol import pdus
from support.protocol.acceptor_runs import make, run
from support.protocol.pdus import hexa
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

ECHOSCU = hexa("""
01 00 000000cd                                      ; A-ASSOCIATE-RQ, 205 bytes
0001 0000                                           ; protocol version 1, reserved
414e592d5343502020202020202020 20                   ; called  'ANY-SCP'
4543484f5343552020202020202020 20                   ; calling 'ECHOSCU'
0000000000000000000000000000000000000000000000000000000000000000 ; reserved
10 00 0015 312e322e3834302e31303030382e332e312e312e31            ; application context 1.2.840.10008.3.1.1.1
20 00 002e 01 00 ff 00                              ; presentation context 1; DCMTK sets a reserved byte to ff
   30 00 0011 312e322e3834302e31303030382e312e31    ; abstract syntax 1.2.840.10008.1.1
   40 00 0011 312e322e3834302e31303030382e312e32    ; transfer syntax 1.2.840.10008.1.2
50 00 003a                                          ; user information
   51 00 0004 00004000                              ; maximum length 16384
   52 00 001b 312e322e3237362e302e373233303031302e332e302e332e362e37 ; 1.2.276.0.7230010.3.0.3.6.7
   55 00 000f 4f464649535f44434d544b5f333637        ; OFFIS_DCMTK_367
""")

STORESCU = hexa("""
01 00 00000135                                      ; A-ASSOCIATE-RQ, 309 bytes (-R -xe --user joe --pos-response)
0001 0000                                           ; protocol version 1, reserved
414e592d5343502020202020202020 20                   ; called  'ANY-SCP'
53544f52455343552020202020202020                    ; calling 'STORESCU'
0000000000000000000000000000000000000000000000000000000000000000 ; reserved
10 00 0015 312e322e3834302e31303030382e332e312e312e31            ; application context
20 00 0038 01 00 ff 00                              ; presentation context 1
   30 00 0019 312e322e3834302e31303030382e352e312e342e312e312e32 ; CT
   40 00 0013 312e322e3834302e31303030382e312e322e31             ; explicit little endian
20 00 004d 03 00 ff 00                              ; presentation context 3: the same class once more
   30 00 0019 312e322e3834302e31303030382e352e312e342e312e312e32 ; CT
   40 00 0013 312e322e3834302e31303030382e312e322e32             ; explicit big endian
   40 00 0011 312e322e3834302e31303030382e312e32                 ; implicit little endian
50 00 0047                                          ; user information
   51 00 0004 00004000                              ; maximum length 16384
   52 00 001b 312e322e3237362e302e373233303031302e332e302e332e362e37 ; 1.2.276.0.7230010.3.0.3.6.7
   55 00 000f 4f464649535f44434d544b5f333637        ; OFFIS_DCMTK_367
   58 00 0009 01 01 0003 6a6f65 0000                ; user identity: name, response asked for, 'joe', no second field
""")

DCMSEND = hexa("""
01 00 00000103                                      ; A-ASSOCIATE-RQ, 259 bytes
0001 0000                                           ; protocol version 1, reserved
414e592d5343502020202020202020 20                   ; called  'ANY-SCP'
44434d53454e44202020202020202020                    ; calling 'DCMSEND'
0000000000000000000000000000000000000000000000000000000000000000 ; reserved
10 00 0015 312e322e3834302e31303030382e332e312e312e31            ; application context
20 00 0064 01 00 ff 00                              ; presentation context 1
   30 00 0019 312e322e3834302e31303030382e352e312e342e312e312e32 ; CT
   40 00 0013 312e322e3834302e31303030382e312e322e31             ; explicit little endian
   40 00 0013 312e322e3834302e31303030382e312e322e32             ; explicit big endian
   40 00 0011 312e322e3834302e31303030382e312e32                 ; implicit little endian
50 00 003a                                          ; user information
   51 00 0004 00004000                              ; maximum length 16384
   52 00 001b 312e322e3237362e302e373233303031302e332e302e332e362e37 ; 1.2.276.0.7230010.3.0.3.6.7
   55 00 000f 4f464649535f44434d544b5f333637        ; OFFIS_DCMTK_367
""")

CASES = {
    "echoscu": (ECHOSCU, "ECHOSCU", [(1, VERIFICATION, (IMPLICIT_LE,))], {1: (0, IMPLICIT_LE)}),
    "storescu": (
        STORESCU,
        "STORESCU",
        [(1, CT, (EXPLICIT_LE,)), (3, CT, (BIG_ENDIAN, IMPLICIT_LE))],
        {1: (0, EXPLICIT_LE), 3: (0, IMPLICIT_LE)},
    ),
    "dcmsend": (
        DCMSEND,
        "DCMSEND",
        [(1, CT, (EXPLICIT_LE, BIG_ENDIAN, IMPLICIT_LE))],
        {1: (0, EXPLICIT_LE)},
    ),
}


def decoded(stream: bytes) -> AssociateRequest:
    acceptor = make()
    acceptor.receive_request(stream)
    event = acceptor.next_event()
    assert isinstance(event, events.AssociateRequested)
    return event.request


@pytest.mark.parametrize(("stream", "calling", "contexts", "results"), CASES.values(), ids=CASES)
def test_request(
    stream: bytes, calling: str, contexts: list[tuple[int, str, tuple[str, ...]]], results: dict[int, tuple[int, str]]
) -> None:
    request = decoded(stream)
    assert (request.called, request.calling) == (b"ANY-SCP".ljust(16), calling.encode().ljust(16))
    assert list(request.contexts) == contexts
    assert request.user.max_length == 16384
    assert request.user.implementation_class_uid == "1.2.276.0.7230010.3.0.3.6.7"
    assert request.user.implementation_version_name == "OFFIS_DCMTK_367"
    done = run(stream)
    assert done.log == [("requested", calling, "ANY-SCP")]
    assert pdus.accepted(done.sent[6:]) == results


def test_user_identity() -> None:
    identity = decoded(STORESCU).user.user_identity
    assert identity == UserIdentity(1, True, b"joe", b"")
    assert "joe" not in repr(identity)
    assert decoded(ECHOSCU).user.user_identity is None
