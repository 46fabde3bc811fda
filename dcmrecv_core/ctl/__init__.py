"""`dcmrecvctl`: the program of administrators for a receiver that runs, or ran, or will.

    main          the command line: which receiver, which command
    receiver      what a command gets: where the receiver's control socket and its state directory are
    status        `status` and `top`: who is connected, what was received, what waits
    tables        tables and figures as people read them
    refusals      `refusals`: what was refused, of whom and why
    reload        `reload`: read the settings again, and say whether that worked
    drain         `drain`: end when the running associations have ended
    upgrade       `upgrade`: let another program take over
    queue         `queue list`, `retry`, `drop`, `replay`: what waits to be delivered, straight from the store
    checking/     `check`: what a start would say, and more
    send_test     `send-test`: stores a made-up image as a modality would
    unit          `unit`: a service of systemd with its socket
    uids          `hash-uid`: what stands for a UID in the log

Nothing here receives, and no receiver imports this room.
"""
