"""From bytes to a file under its name, whole and durable.

    spool         the data set as it comes: in memory, from 1 MiB on in an unnamed file
    part10        what precedes it in the file: preamble and File Meta Information
    content       both together, and what plugins put in place of pieces: the file in the making
    publish       write, flush, give the name, flush the directory
      directories   directories below the output directory: contained, made on demand, kept open
      temporary     files without a name yet, and how they get one on this file system
        renaming      renameat2, which Python does not have
    file_meta     the beginning of a DICOM file that exists, for `--explain`

No plugin is called here and no message is known; what fails leaves as a `StatusError` with the status to answer.
"""
