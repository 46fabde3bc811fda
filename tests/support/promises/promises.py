"""The promises of the receiver. Each number has a module test_NN_*.py that fails if the promise is not kept."""

from __future__ import annotations

import pytest

GROUPS: dict[str, range] = {
    "Durability": range(1, 9),
    "Storage faults": range(9, 12),
    "Protocol": range(12, 21),
    "Resources": range(21, 29),
    "Security and operation": range(29, 36),
    "Kept data": range(36, 42),
    "After storing": range(42, 45),
    "More than one machine": range(45, 47),
    "Storage commitment": range(47, 48),
}

PROMISES: dict[int, str] = {
    1: "Success is answered only after the file is flushed, published under its name, and the directory flushed; or, "
    "where a journal makes that enough, its data written out, published, and the file flushed.",
    2: "Whatever moment the power fails at, and whatever was not flushed yet being lost: no acknowledged instance is "
    "missing or torn.",
    3: "No partial file is ever visible under a final name.",
    4: "When a worker is killed, what was acknowledged is there, everything else is absent or complete, and another "
    "worker serves within a second.",
    5: "When the supervisor is killed, its workers are gone within 5 s, the port is free within a second and nothing "
    "acknowledged is lost.",
    6: "A re-send that fails never harms the stored copy.",
    7: "When many send one SOP Instance UID at once, the file equals exactly one of the acknowledged data sets.",
    8: "An error of any system call on the way to the disk is answered with A700 and leaves no new file; a flush "
    "that failed is not tried again.",
    9: "A full disk, no inodes, a read-only file system, a directory that is gone or not ours, a name too long: the "
    "right status, nothing left over, the association goes on; when the cause goes, the next store succeeds.",
    10: "Below `--min-free`, associations are rejected as transient before data flows.",
    11: "A bad output directory ends the start with exit code 45 within a second.",
    12: "Every cell of the state table of an acceptor (PS3.8 Table 9-10; 19 events) does what the standard says.",
    13: "Malformed input has exactly the reaction that is tabled for it, and no worker dies of it.",
    14: "However a message is split into TCP segments, PDUs and PDVs: the same file, the same response.",
    15: "The stored data set is the one that was sent, in every transfer syntax, unknown ones included.",
    16: "Every response decodes with pydicom and DCMTK and echoes Message ID, SOP class and instance.",
    17: "64 pipelined C-STOREs of a sender that does not read meanwhile: no deadlock, 64 answers in order.",
    18: "An instance of 4.5 GiB is stored unchanged; memory grows by at most 8 MB.",
    19: "When a connection ends in the middle of a message, in whatever way, all complete messages are kept and "
    "nothing is left of the other.",
    20: "What senders are known to do wrong is survived.",
    21: "A worker takes at most 64 MB, for large, deeply nested and deflated data sets too.",
    22: "A PDU that claims 4 GiB is answered with an abort within 100 ms, and no memory is taken for it.",
    23: "100 idle connections do not keep another peer from a C-ECHO within a second.",
    24: "An association request has to be complete within `-ta` in total, however slowly it trickles.",
    25: "When all slots are taken, the next peer is served or rejected (2/3/2) within a second; never silence.",
    26: "Over 10 000 associations neither memory nor descriptors grow, and no zombies stay.",
    27: "The parsers of PDUs, commands, data sets and configuration raise only what they declare, whatever they read.",
    28: "No worker dies of mutated connections, and a good sender beside them gets Success for each instance.",
    29: "Whatever names a sender gives: the file is inside the directory, no component is longer than 255 bytes, and "
    "different names stay different.",
    30: "Planted symbolic links, hard links and FIFOs: nothing outside is touched, and nothing hangs.",
    31: "Over TLS only a peer with a valid certificate, a good protocol version and a handshake in time stores.",
    32: "A hook that raises, exits, hangs, forks or eats memory costs its own instance a status, or its own "
    "association the connection; no other one is affected.",
    33: "SIGTERM under load: instances under way finish, the exit code is 0, nothing acknowledged is lost.",
    34: "The receiver runs as an ordinary user, writes nowhere but below the output directory and its log files, and "
    "opens one listening port.",
    35: "100 peers that keep their socket open after release, reject or abort hold no worker.",
    36: "An acknowledged instance is never replaced by another SOP instance unless an option or a plugin said so.",
    37: "Two receivers in two containers with one host name store into one directory, and either is started and killed "
    "at any moment: nothing acknowledged is wrong, torn or missing.",
    38: "De-identified means it: no value that a plugin replaced or removed, wherever it was in the data set, is found "
    "in what is stored, in the name of the file, in journal, queues, events and index, or in the log at the default "
    "level, where only the SOP Instance UID of the command may be, unless `--log-uids hashed`.",
    39: "Files have the group, the mode and the ACL that their directory gives, whatever their size and the file "
    "system.",
    40: "One address (IPv6: a /64) never keeps another one out, neither with silent TLS handshakes nor with "
    "associations that are silent or dribble: another sender is served within 2 s, or 2 s after `--idle-eviction` is "
    "over. A single gateway may have all places but two, and a sender that pauses is not cut while places are free.",
    41: "SIGTERM ends the receiver after any flood of other signals; when the supervisor is killed, its workers are "
    "gone within 5 s, even from C code.",
    42: "Every acknowledged instance is delivered at least once to every plugin that implements `deliver`, whatever is "
    "killed and after power cuts; an event that is delivered again has the same id; what a power cut took from the "
    "journal comes back as recovered.",
    43: "One event that always fails holds up only its own study; a destination that is down, or hangs, holds up no "
    "other.",
    44: "Each study has exactly one completion for each revision, after its last instance; its hook is called again "
    "only if its process died in the call.",
    45: "Three nodes behind a load balancer have one database, one bucket and one stream. While one after the other is "
    "killed and started again, and senders try again, nothing acknowledged is lost, and each revision of a study has "
    "one completion over all nodes. Limits, log and index know the true addresses of clients. In a rolling restart "
    "with `--drain` no association fails.",
    46: "While an object store is down, in whatever way, and processes are killed: with `--s3-spool` senders get "
    "Success, nothing acknowledged is lost, and each instance has an object of its own in the end. Without it an "
    "instance is refused with A700 and a reason, in time. Both go on without a new start.",
    47: "Storage commitment says yes only for instances that are there whole: every missing, truncated or bit-flipped "
    "file is reported.",
}


def promise(number: int) -> pytest.MarkDecorator:
    """The tests so marked count for the promise of that number; a module says `pytestmark = promise(3)`."""
    if number not in PROMISES:
        raise ValueError(f"there is no promise {number}")
    return pytest.mark.promise(number)
