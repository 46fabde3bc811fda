"""Sockets, processes, signals and clocks: the only room that has them.

    supervisor/   the parent: accepts connections, forks and watches workers, reloads
    worker/       a child: serves one association at a time
    tls/          TLS for both of them

What parent and worker share:

    child         forks; a child cannot return into the parent's code
    handover      a connection and its A-ASSOCIATE-RQ on their way from the parent to a worker
    heartbeat     what a worker tells the parent through shared memory, without a system call
    connection    a plain socket with the few calls that a session needs
    hostnames     names of hosts for the log, looked up in a background thread
"""
