"""The order of transfer syntaxes against pydicom's list of them."""

from __future__ import annotations

from pydicom.uid import AllTransferSyntaxes

from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.settings.syntax_order import rank
from dcmrecv_core.settings.uids import name_of, transfer_syntaxes
from support.uids import BIG_ENDIAN, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG, PRIVATE_SYNTAX

COMPLETE = rank(EXPLICIT_LE)
LAST = rank(PRIVATE_SYNTAX)


def test_ranks() -> None:
    assert rank(DEFLATED) == rank(JPEG) == COMPLETE < rank(IMPLICIT_LE) < rank(BIG_ENDIAN) < LAST


def test_fault_17_every_other_syntax_is_with_explicit_little_endian_or_last() -> None:
    by_rank = {value: {uid for uid in transfer_syntaxes() if rank(uid) == value} for value in (COMPLETE, LAST)}
    assert by_rank[COMPLETE] | by_rank[LAST] == set(transfer_syntaxes()) - {IMPLICIT_LE, BIG_ENDIAN}
    for uid in by_rank[COMPLETE]:
        encoding = encoding_of(uid)
        assert encoding is not None and encoding.explicit and encoding.little, uid
    words = ("JPIP", "SMPTE", "MIME", "XML", "Private")
    assert by_rank[LAST] == {uid for uid in transfer_syntaxes() if any(word in str(name_of(uid)) for word in words)}


def test_what_pydicom_knows_is_known() -> None:
    for uid in AllTransferSyntaxes:
        assert (rank(uid) == LAST) == any(word in uid.name for word in ("JPIP", "SMPTE")), uid.name
