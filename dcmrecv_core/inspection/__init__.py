"""Questions about a configuration, answered without a network: `--explain`, `--list-plugins`.

    explain        takes DICOM files through the stages of an instance, by the code of a worker; nothing is written
      replacements   which elements a plugin has replaced
    explanation    the explanation of one file, as text and as JSON
    list_plugins   which plugins there are, which are active, and in which order each hook asks them

Only `cli.py` imports this, when one of the options is given.
"""
