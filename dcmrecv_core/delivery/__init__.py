"""What happens after an instance is stored: each event reaches each plugin that asked for it at least once.

The way of an event: a worker appends a record to its file of the journal (storage/journals/) before it answers; the
journal process flushes it, once a second, and puts it into the store; delivery processes take it from there. With
`--journal` the record is a row in the database of the store, committed before the answer.
If a plugin relocates what is stored, its delivery process takes the event first, and all others when that is done.

    preparation    the start: which queues there are, what must be in the state directory
    jobs           the processes: one for the journal, some for each queue; the supervisor forks them
      keeper       the journal process: takes records in, completes studies
        journal    reads, flushes and removes the files of the journal
        recovery   after a power cut, or where a plugin relocates: stored files without a record get one
      deliverer    a delivery process: calls the hook for what waits in a queue, until that returns
    store          what a store must do, and the rows that it deals in
      common       what both stores do with the same statements
      sqlite/      a store in SQLite
      postgresql/  a store in PostgreSQL, for several receivers
    opening        opens the one that this receiver has
    unfinished     the studies that something is still to be done with, for plugins that remove files
    mark           a moment, and whether a plugin has had all that was stored before
    events         a record as the `StoredEvent` that plugins get
    studies        a `Study` or `Series` made of its events
    clock          time since the boot; tests can turn it on

Nothing here runs in a receiver without a plugin that has one of the hooks, and nothing here receives.
"""
