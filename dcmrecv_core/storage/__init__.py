"""From bytes to a file under its name, whole and durable.

    file_meta     what comes before it in the file: preamble and File Meta Information; also reads that of any file
    content       the complete file: both together, and bytes with which plugins replaced received ones
    publish       write, flush, give the name, flush the directory
      directories   directories below the output directory: contained, made on demand, kept open
      temporary     files without a name yet, and how they get one on this file system
        hidden        temporary files that need a name: whose they are, and which may be removed
        handed_over   what had the name that an exchange took: removed, or named again, if need be by the next start
        usable        whether it can be used now: mounted, writable, not full
      mounts        what may be relied on on a file system: locks, one flush for a file and its name
      system_calls  those that Python does not have: renameat2, sync_file_range
      taken         a name that is taken: what happens to both files, by the policy
        existing      the existing file: which instance it is, whether it is whole and equal
        other_names   names to try instead
    journals/     the record of each stored instance, for what is done with it later

This room calls no plugin and knows no message. A failure leaves it as a `StatusError` with the status to answer.
"""
