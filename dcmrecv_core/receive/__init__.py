"""One instance, from fragments of its data set to a file.

    spool          the received bytes, in memory or in an unnamed file
    sources        windows on them
    walker         is this a data set, and where are its elements (dataset, elements, encodings: its terms)
    values         single elements and the header, decoded by pydicom (decoding)
    part10         what precedes the data set in a file
    content        prefix and pieces: the file in the making (replacement: what plugins put in place of pieces)
    instance       what hooks see of all this
    pipeline       the hooks in their order, and what the sender is answered
    directories    below the output directory and nowhere else
    hidden         names of temporary files that need one, and what of them may be removed
    temporary      files without a name, and how they get one
    publish        atomic, durable
    taken          what becomes of a name that is taken (existing: what has it, other_names: which one instead)

No sockets, no protocol.
"""
