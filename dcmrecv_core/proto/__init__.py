"""The protocol without I/O: bytes in, events and bytes out (PS3.8 upper layer, PS3.7 DIMSE).

    acceptor      joins all of it: one association, seen from its acceptor
      buffer        bytes read from the socket and not consumed yet
      states        the acceptor's part of the state table (PS3.8 table 9-10)
      pdu           PDU headers and the PDUs of fixed size
      associate     A-ASSOCIATE-RQ decoded, A-ASSOCIATE-AC encoded, with their items
      negotiation   proposed presentation contexts against supported ones
      message       P-DATA-TF -> command sets whole, data sets in fragments; regular ones at once by the compiled part
      dimse         command sets decoded, responses encoded
      services      those of DIMSE-N requests
      events        the events that the acceptor returns to its caller
      first_bytes   other protocols that reach a DICOM port by mistake

Theory of operation
===================

One `Acceptor` serves one association. It holds no socket and no clock, calls no plugin and writes no log: the caller
passes in bytes, time and decisions, and handles the events. So every path can be tested with bytes alone.


What the caller does
--------------------

    acceptor.receive_request(pdu)           # or feed it like later PDUs
    while the association lasts:
        while (event := acceptor.next_event()) is not None:
            decide; call accept, reject, respond or abort
        send what is in acceptor.output, and delete it there
        count = read into acceptor.get_buffer()
        acceptor.buffer_updated(count)      # or receive_eof() when the stream has ended

`buffer_updated` only records how many bytes were read; all parsing happens in `next_event`, which returns one event, or
None when it needs more bytes. Take events until None before reading again: then only a part of a header, or of a data
set that is waited for (below), is left in the buffer, so that `get_buffer` always has room.

Requests are answered in the order in which they come, one at a time (asynchronous operations are answered with a
window of 1 by 1). The caller sends `output` at any time, in full and in order.
Output consists of the caller's answers and those that the acceptor gives itself (below); if a peer sends requests and
reads no responses, the caller has to bound it.


How long payload lives
----------------------

Data sets are not collected here. A `DataReceived` event has views of the receive buffer, one for each fragment that
has arrived, from any number of PDVs and PDUs; nothing is copied, and fragments do not wait for the end of their PDU.
The views are valid until the next call of `next_event` or `get_buffer`: the caller copies, writes or checks them before
that. Command sets are small; events contain copies that may be kept.


The states
----------

Each step is a cell of PS3.8 table 9-10, (state, event) -> (action, next state), and `states.TRANSITIONS` has the cells
that an acceptor can reach; `Acceptor._apply` is the only place that changes the state.

    Sta2    no request yet. ARTIM runs. Any error is answered with an A-ABORT of source 0 (AA-1), an A-ABORT with
            nothing (AA-2)
    Sta3    `AssociateRequested` was returned. The caller decides: `accept` (AE-7), `reject` (AE-8), `abort` (AA-1)
    Sta6    established. P-DATA-TF is read (DT-2), `respond` sends one (DT-1)
    Sta8    within `next_event` only: an A-RELEASE-RQ is answered at once (AR-2, AR-4), and `Released` follows
    Sta13   the association has ended; waits for the peer to close. ARTIM runs. Input is ignored (AA-6)
    Sta1    the connection has ended; everything is ignored

States 4, 5, 7 and 9 to 12 belong to a requestor, or to an acceptor that requests a release; this one never does.
Two things are not in the table. `abort` is possible in Sta2, for a caller that gives up before the request is complete.
In Sta13 a second A-ASSOCIATE-RQ or an unknown PDU is answered with A-ABORT (AA-7) once; after that all input is
discarded, so that a flood of requests does not cause a flood of answers.

`artim` tells whether the timer should run; the caller has the clock, and calls `artim_expired` when the time is over.


Who decides what
----------------

    A-ASSOCIATE-RQ of a wrong protocol version or application context    acceptor: A-ASSOCIATE-RJ, `Rejected`
    every other request for an association                               the caller
    which presentation contexts are accepted                             `negotiation`, from what the caller supports
    A-RELEASE-RQ                                                         acceptor: A-RELEASE-RP, `Released`
    an invalid PDU, or one at the wrong time                             acceptor: A-ABORT, `Failed`
    C-ECHO, and C-STORE with a data set                                  the caller: `respond`
    DIMSE-N, if the caller says that it serves them                      the caller: `respond_to_service`
    the response to an N-EVENT-REPORT that was sent with `report`        acceptor: `ReportAnswered`, without data set
    other DIMSE requests; C-STORE without a data set, or with a UID      acceptor: a failure status, `CommandRefused`;
    that is missing or too long                                          their data sets are read and dropped
    C-CANCEL, fragments of odd length, even context ids, unusual UIDs    acceptor: continues, with a `Notice`

With `strict` some of the last kind are refused instead: even context ids with A-ABORT, invalid characters in a SOP
Instance UID with 0117, a SOP class that is not that of its presentation context with 0122.


Errors
------

Two kinds of exception exist here, both in `api/errors.py`, and any other one is a bug:

* `RemoteProtocolError`: the peer broke the protocol. It carries source and reason of the A-ABORT to answer.
  `next_event` and `receive_request` catch it: the A-ABORT is queued, the state is Sta13, and the caller gets the event
  `Failed`. Only functions that are used without an acceptor raise it to their caller (`pdu.check_request_header`).
* `LocalProtocolError`: the caller asked for something that the state does not allow, or for an answer that does not fit
  into a PDU. Nothing was queued and the state is unchanged.


Limits
------

A length that a peer declares is checked when its header is read, before anything is allocated or sliced for it.

    receive buffer       the caller's; at least 16 bytes, because up to 5 of a header stay in it
    A-ASSOCIATE-RQ       68 bytes, its fixed part, to 1 MiB: 128 contexts with 38 transfer syntaxes each have 150 KB,
                         the rest is for user identity. The caller of `receive_request` checks the upper bound
    P-DATA-TF            the maximum length that was announced (`max_pdu`, rounded down to an even number)
    other PDUs           exactly 4 bytes where the body matters; elsewhere the body is skipped, not kept
    command set          64 KiB: some hundred bytes are usual, and the number of its fragments has no limit
    UIDs of a command    64 characters (PS3.5 section 9.1)
    peer's max. length   8 bytes or more, or 0 for no limit: 6 for a PDV header and 2 to carry something
    data set             none: the caller gets fragments, and drops them when there are too many


The compiled part
-----------------

`StoreRequested` is returned as soon as the command set is complete, `DataReceived` when there are data. A regular data
set (its PDVs on the context of the command, of even lengths) stays in the buffer until all of it has arrived, and the
compiled part `regular_requests` puts it together there: then `DataReceived` has the whole of it in one piece. If the
request has arrived as a whole, one step reads both. A data set that is not regular, or does not fit into 15/16 of the
buffer, comes in pieces. `message` reads those in Python, which is slower and handles every case; so only one place
decides on refusals. Without the compiled part all data sets come in pieces.

So the caller need not know which part has read a request. Only if the association ends within a data set, some of that
may not be in an event yet; `read_rest` tells how much.
"""
