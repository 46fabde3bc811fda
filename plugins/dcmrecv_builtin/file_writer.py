"""Write the instance as a DICOM file below the output directory; a `write` of any named plugin is asked before.

The core decides what happens if the name is taken: from `Name.on_exists`, `--on-duplicate` and the default of the
scheme that chose the name it makes `instance.on_exists`, which `save` follows.
"""

from __future__ import annotations

from dcmrecv_core import Instance, PluginError, PluginSettings, escape, hookimpl


@hookimpl
def configure(settings: PluginSettings) -> None:
    try:
        escape("", settings.options["filename_extension"])
    except ValueError as error:
        raise PluginError(f"--filename-extension: {error}") from error


@hookimpl
def write(instance: Instance, path: str) -> str:
    return instance.save(path)
