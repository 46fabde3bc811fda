"""Plugins: found, checked, guarded, ordered, called.

    loader        a name, module or file that `--plugin` gives -> a plugin; refuses what cannot work
      promises      the versions of the interface that a plugin needs; warnings of what will be removed
    plugins_dir   all plugins of a directory, and who may write to it
    code          the modules of plugins, and whether their files change
    plugins       `Plugins`: registers them in order; one typed method for each hook. All callers use this
      guards        around each implementation: its time, the type of its result, its name when it fails
        limits        what plugin code may use: time, memory, no forks; `Plugins` owns one `PluginLimits`
          descriptors   whether a process has no free file descriptor left
        places        the file and the line of the plugin's code that failed or is running, and what caused it
      tracing       result and time of each call (`--trace-hooks`, `--explain`)
    new_plugin    `--new-plugin`: the files in templates/plugin/ -> the package of a new plugin

The contract itself is `api/hookspecs.py`; the built-in plugins, package `dcmrecv_builtin`, come the same way.
"""
