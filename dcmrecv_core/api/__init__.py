"""What third parties may rely on: `dcmrecv_core` re-exports it, docs/plugins/api-version.md says what is promised.

    version     names and versions of the program and of this interface
    hookspecs   the contract: every hook, in the order in which an instance meets them
    implementations  the types of `@hookimpl`: which functions can implement a hook
    settings    what a hook may read of the settings
    options     options that plugins declare in `add_options`
      option_tables   those that are tables of a settings file
    model       what hooks see: Association, Instance
    verdicts    what hooks return: SupportedContext, Also, Accept, Reject, Refuse, Warn, Discard, Name
    outcomes    what hooks are told of what has happened: StoredOutcome, NotStoredOutcome, Summary, StoredEvent, Study,
                Series
    cloud_events  outcomes as CloudEvents, for servers of other programs
    services    DIMSE-N services of plugins: Request and Response
    names       text from the network -> a file name that stays in its directory (`escape`)
    hints       what a misspelt name may mean (`did_you_mean`)
    errors      every error that is raised on purpose, by what it turns into: exit code, A-ABORT, status

The lowest floor: nothing here imports another room.
"""
