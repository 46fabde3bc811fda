"""Logging as DCMTK's log4cplus does it, on Python's logging.

    properties.py   `--log-config FILE` -> keys and values, ${...} expanded
    log4cplus.py    keys and values -> loggers: levels, appenders, additivity
      names.py        DCMTK's names for our loggers
      appenders.py    an appender's keys -> a handler
        console.py      standard output and error, that no reader may hold up
        files.py        files that several processes write and roll
        syslog.py       the local or a remote syslog
        filters.py      which records an appender takes
        layouts.py      a record -> text
    records.py      what all share: levels, escaping

Nothing here is loaded without `--log-config`, but properties.py, names.py, records.py and console.py.
"""
