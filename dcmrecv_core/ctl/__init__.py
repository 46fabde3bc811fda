"""`dcmrecvctl`: the program of administrators for a receiver that runs, or ran.

    main     the command line: which receiver, which command
    queue    `queue list`, `retry`, `drop`, `replay`: what waits to be delivered, straight from the store
    uids     `hash-uid`: what stands for a UID in the log

Nothing here receives, and no receiver imports this room.
"""
