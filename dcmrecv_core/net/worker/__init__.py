"""A worker process: one association at a time, from its request to the end of its connection.

    worker              the life of the process: signal handlers, heartbeat, the next association
      tls_admission       with TLS: handshake and A-ASSOCIATE-RQ, before there is a session
      session             one association: joins connection, `proto/` and `receive/`, and keeps the deadlines
        space               how much room is left (`--min-free`)
        caches              what need not be worked out again for the next association
        association_log     the lines of the log about associations and messages
          association_dumps   A-ASSOCIATE PDUs as DCMTK's tools show them (`+v`, `-d`)
          message_dumps       command sets as DCMTK's tools show them (`-d`)

The supervisor forks the process and calls `run_worker`; what goes between them is in `net/handover.py`.
"""
