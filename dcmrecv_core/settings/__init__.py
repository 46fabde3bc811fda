"""Plain values that all other rooms obey. How an administrator says them is `config/`.

    settings        `Settings`: frozen, typed, complete; made at the start and at each reload
    contexts        the presentation contexts that are accepted when nothing else says which
    uids            UIDs, their names and file-name prefixes, read from uids.tsv
    tls_profiles    security profiles and ciphersuites, with their names for OpenSSL
    context_hints   for a context that was refused: the configuration that would accept it

No I/O but the reading of uids.tsv; no plugin, no command line.
"""
