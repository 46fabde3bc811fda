"""From bytes to a file under its name, whole and durable.

    spool         the data set while it comes: in memory, above 1 MiB in an unnamed file
    part10        what comes before it in the file: preamble and File Meta Information
    content       the complete file: both together, and bytes with which plugins replaced received ones
    publish       write, flush, give the name, flush the directory
      directories   directories below the output directory: contained, made on demand, kept open
      temporary     files without a name yet, and how they get one on this file system
        hidden        temporary files that need a name: whose they are, and which may be removed
        handed_over   what had the name that an exchange took: removed, or named again, if need be by the next start
        renaming      renameat2, which Python does not have
      taken         a name that is taken: what happens to both files, by the policy
        existing      the existing file: which instance it is, whether it is whole and equal
        other_names   names to try instead
    file_meta     reads the beginning of any DICOM file

This room calls no plugin and knows no message. A failure leaves it as a `StatusError` with the status to answer.
"""
