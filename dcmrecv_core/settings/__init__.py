"""Plain values for all other rooms. `config/` reads them from the command line and settings files.

    settings        `Settings`: frozen, typed, complete; made at the start and at each reload
    contexts        the default presentation contexts
    syntax_order    which transfer syntax is chosen where any is accepted
    uids            UIDs, their names and file-name prefixes, read from uids.tsv
    tls_profiles    security profiles and ciphersuites, with their names for OpenSSL
    context_hints   for a context that was refused: the configuration that would accept it

No I/O except reading uids.tsv; no plugin, no command line.
"""
