"""Log lines: DCMTK's by default, or what `--log-config` configures, on Python's logging.

    setup             entry point: settings -> handlers and levels, at the start and at each reload
      records           shared by all: levels, escaping of control characters, DCMTK's lines
      console           standard output and error, without waiting for their reader
      serving           what a worker serves, attached to its records
        hashed_uids       hashes instead of UIDs, with `--log-uids hashed`
      json_lines        a record -> a JSON object, with `--log-format json`
      properties        `--log-config FILE` in log4cplus' format -> keys and values, ${...} expanded
      log4cplus         keys and values -> loggers: levels, appenders, additivity
        names             DCMTK's names for our loggers
        appenders         an appender's keys -> a handler
          files             files that several processes write and roll
          syslog            the local or a remote syslog
          filters           which records an appender takes
          layouts           a record -> text

Without `--log-config` only setup, records, console, serving, hashed_uids, names and properties are loaded.
"""
