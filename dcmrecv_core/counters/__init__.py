"""What a receiver counts, in shared memory: each process of it writes a part of its own, and any of them may read all.

    memory            the shared memory, made before the first fork: a slot for each process
      slot            what one process counts: totals, durations, the association that it serves
        refusals      its last refusals, and how often each reason was given
    plugin_counts     what plugins count themselves, and how long their hooks take
    document          all of it as one tree of values: what `dcmrecvctl status --json` prints

Nothing is locked and nothing makes a system call, as each field has one writer. What a worker has counted stays when
it is replaced. Processes, sockets and files do not belong here.
"""
