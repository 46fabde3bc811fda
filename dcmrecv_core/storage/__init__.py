"""From bytes to a file under its name, whole and durable.

    spool         the data set as it comes: in memory, from 1 MiB on in an unnamed file
    part10        what precedes it in the file: preamble and File Meta Information
    content       both together, and what plugins put in place of pieces: the file in the making
    publish       write, flush, give the name, flush the directory
      directories   directories below the output directory: contained, made on demand, kept open
      temporary     files without a name yet, and how they get one on this file system
        hidden        temporary files that need a name: whose they are, and which may be removed
        handed_over   what had the name that an exchange took: removed, or named again, if need be by the next start
        renaming      renameat2, which Python does not have
      taken         the name has a file already: what becomes of both, by the policy
        existing      what that file is: which instance, whether whole, whether equal
        other_names   the names that are tried instead
    file_meta     the beginning of a DICOM file that exists

No plugin is called here and no message is known; what fails leaves as a `StatusError` with the status to answer.
"""
