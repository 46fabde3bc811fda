"""`dcmrecvctl check`: what a start would say, and what it would not.

    check         the command: the steps of a start, without one
    findings      what it has found, and what to do about it
    surroundings  what no start refuses: certificates that expire, little space, files of other users

Nothing here makes or changes a file that stays.
"""
