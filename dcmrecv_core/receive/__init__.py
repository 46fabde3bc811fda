"""One instance through its stages: fragments of a data set in, a status out.

    pipeline      `InstanceReceiver` for a worker, `Reception` for a C-STORE: spool, check, hooks, file, status
    spool         the data set while it comes: in memory, above 1 MiB in an unnamed file
    instance_log  the log line of each instance that is not stored
    instance      what hooks see of it: the model's `Instance`, over the received bytes
    request       what hooks see of a DIMSE-N request, and how its data sets are decoded and encoded
    replacement   the bytes with which `replace_header` and `replace` replace received ones
    texts         the bytes of texts in them
    unread        a new header of which nothing was converted, written without pydicom
    unseen        what a data set holds that a new header cannot know
    journaling    the record of a stored instance, if a plugin delivers
    stored_files  opens and removes a file that was stored, by its location

`dataset/` understands the bytes of a data set, `storage/` stores them; plugins are called through `hooks/`. No sockets,
no protocol: the session (`net/worker/`) takes fragments from `proto/` and passes them in here.
"""
