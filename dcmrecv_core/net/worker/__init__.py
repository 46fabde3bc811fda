"""A worker process: one association at a time, from its request to the end of its connection.

    worker              the life of the process: signal handlers, heartbeat
      arrivals            the next association: a connection that the worker accepts, or a hand-over
      tls_admission       with TLS: handshake and A-ASSOCIATE-RQ, before the session
      session             one association: joins connection, `proto/` and `receive/`, and keeps the deadlines
        deadlines           how long the session waits for its peer
        space               checks the free space (`--min-free`)
        caches              decoded proposals and negotiation results, kept for the next association
        counting            what is refused, for the counters
        service             a DIMSE-N request: collected, given to plugins, answered
        request_log         log lines about connections that bring no association
        association_log     log lines about associations and messages
          association_dumps   A-ASSOCIATE PDUs as DCMTK's tools show them (`+v`, `-d`)
          message_dumps       command sets as DCMTK's tools show them (`-d`)

The supervisor forks the process, calls `run_worker` and hands it associations (`net/handover.py`).
"""
