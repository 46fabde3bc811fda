"""`dcmrecvctl`: the program of administrators for a receiver that runs, or ran, or will.

    main          the command line: which receiver, which command
    queue         `queue list`, `retry`, `drop`, `replay`: what waits to be delivered, straight from the store
    check         `check`: the steps of a start, without one
    findings      what it has found, and what to do about it
    surroundings  what no start refuses: certificates that expire, little space, files of other users
    unit          `unit`: a service of systemd with its socket
    errors        what ends a command

Nothing here receives, and no receiver imports this room.
"""
