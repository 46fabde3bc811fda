"""Runs a program as systemd's socket activation does: `activate.py FD PROGRAM ARGS...` passes socket FD as 3.

So a receiver listens on a port that was free when the socket was bound, and no other process can take it meanwhile.
"""

import os
import sys

fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
    os.close(fd)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
