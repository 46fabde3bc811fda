"""An upgrade without a pause: the receiver starts the program anew, and passes its listening sockets on to it.

    program      how this program was started, and its start with descriptors of this process
    channel      the messages between the two programs
    successor    the old program's side: start, wait, hand over; or go on, if the new one fails
    predecessor  the new program's side

Theory of operation

Both have copies of the same listening sockets, so there is one accept queue, and what waits in it is lost by neither.
(With SO_REUSEPORT each program had a queue of its own, and closing one would reset the connections in it.)

    old                                         new
    starts the program, accepts on              reads settings, loads plugins, starts workers, accepts nothing
                            <- ready
    ends journal, deliveries, `background`
    accepts nothing more
                            yours ->            (with the lock of the state directory)
                            <- taken            accepts, starts journal, deliveries, `background`
    drains                                      serves
                            end of stream       the other one has ended

Until `taken` the old program can go on at any moment as if nothing had happened. Each of them has the end of the stream
as a sign that the other has ended, however it ended. If the old one ends before `yours`, the new one ends too; if
the new one ends while the old one drains, the old one stops, so that the state directory is free for the next start.
"""
