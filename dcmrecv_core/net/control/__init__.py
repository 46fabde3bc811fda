"""The control socket, by which the receiver's own user and root look after it. One JSON object a line, both ways.

    {"command": "status"}  ->  {"version": "1.0.0", "state": "ready", ...}
    {"command": "dance"}   ->  {"version": "1.0.0", "error": "unknown command: dance"}

    address   where the socket is
    server    the supervisor's side, in its loop: never waits for a client
    status    all that is counted, read from shared memory
    client    the other side
    reading   what a receiver counts, with its queues and the state of the disk: for plugins and dcmrecvctl

A command is a line in the table that the supervisor gives to `ControlServer`.
"""
