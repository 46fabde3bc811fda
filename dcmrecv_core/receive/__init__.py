"""One instance through its stages: fragments of a data set in, a status out.

    pipeline      `Receiver` for a worker, `Reception` for a C-STORE: spool, check, hooks, file, status
    instance      what hooks see of it: the model's `Instance`, over the bytes that were received
    replacement   the bytes that `replace_header` and `replace` put in the place of received ones

The bytes of a data set are understood in `dataset/`, stored by `storage/`; plugins are called through `hooks/`.
No sockets, no protocol: the session (`net/worker/`) takes fragments out of `proto/` and puts them in here.
"""
