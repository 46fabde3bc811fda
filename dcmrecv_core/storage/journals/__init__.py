"""The record of each stored instance, for what is done with it later (delivery/).

    records       what a record says, and its bytes
    files         a worker appends records to a file of its own in the state directory
    database      a worker commits them to PostgreSQL, which several receivers share
    boot          the time since the boot, which they have
    state_files   the key of hashed UIDs and the name of this node, which are made once

A receiver without a plugin that delivers writes none.
"""
