"""The table of options. Command line, help, man page, docs/options.md and settings keys all come from it.

    option   one option: names, values, what it sets; `Section(title, Group(title, flag(...), valued(...)))`
    table    the table, in the order of the help; with the sections of the next two
      limits   limits for peers, data and plugins
      tls      DCMTK's TLS options, and which of them exclude each other
    storescp   the options of storescp that this program does not have

A new option is one line here, and a field in `settings/settings.py`; CONTRIBUTING.md has the steps.
"""
