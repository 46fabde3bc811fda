"""Command line and settings file -> `Settings`.

    options/               the one table of options, from which all of the following is derived
    configuration          one reading of all below, which SIGHUP can repeat; loads the plugins named
      commandline            tokens -> `CommandLine`: settings and what the program is to do
        unknown_options        what an unknown option may mean, with those of installed plugins
      settings_file          `--settings FILE.toml` -> the same values
        settings_keys          the keys of such a file, derived from the table
        context_tables         its `[[contexts]]`
        plugin_tables          tables that plugins have declared
        toml_place             where in the file an error is, for its text
      association_profiles   `-xf FILE PROFILE` -> presentation contexts
    settings_dump          `Settings` -> a settings file (`--dump-settings`)
    help                   `--help`, `--version`, error texts

`settings/` says what the values mean. Nothing here opens a socket or touches the output directory.
"""
