"""Sockets, processes, signals and clocks: the only room that has them.

    supervisor/   the parent: keeps slow connections, forks and watches workers, reloads
    worker/       a child: accepts connections, serves one association at a time
    control/      the control socket, by which dcmrecvctl asks a receiver
    upgrade/      how a new program takes over from a running one
    tls/          TLS for both of them

What parent and worker share:

    child         forks; a child cannot return into the parent's code, and ends with it
    handover      passes a connection and its A-ASSOCIATE-RQ from the parent to a worker, or a connection back
    admission     shared memory in which a worker shows that it is alive and whom it serves, without a system call
    shares        whether a peer may have one more place, by what stands there
    claim         who decides what an idle worker does next
    under_way     a part of it: peer and instance, for the log line about a worker that was killed
    record        shared memory in which a worker keeps its association, for another one to tell of it
    connection    a plain TCP connection with the calls that a session needs
    hostnames     host names for the log, looked up in a background thread
"""
