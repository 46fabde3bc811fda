"""The protocol without I/O: bytes in, events and bytes out (PS3.8 upper layer, PS3.7 DIMSE).

    buffer        where the socket reads to, and what of it is not consumed
    pdu           PDU headers and the small PDUs (table 9-11 and following)
    associate     A-ASSOCIATE-RQ decoded, A-ASSOCIATE-AC encoded, with their items
    negotiation   proposed contexts against supported ones
    dimse         command sets
    states        the acceptor's part of the state table (PS3.8 table 9-10)
    message       P-DATA-TF to commands and data sets
    acceptor      all of it together, one association

Nothing here knows sockets, clocks or plugins; only `RemoteProtocolError` (the peer's fault, with the A-ABORT to
answer) and `LocalProtocolError` (ours) leave it. Every length that the peer declares is checked before it is used.
"""
