"""Questions about a configuration, answered without a network: `--explain`, `--list-plugins`.

    explain        DICOM files go the way of an instance, by the code that workers run; nothing is written
    explanation    what is said about one file, as text and as JSON
    list_plugins   which plugins there are, which are active, and in which order each hook asks them

Imported by `cli.py` when asked for, and by nothing else.
"""
