"""Write the instance as a DICOM file below the output directory; a `write` of any named plugin is asked before.

The core decides what happens if the name is taken: from `Name.on_exists`, `--on-duplicate` and the default of the
scheme that chose the name it makes `instance.on_exists`, which `save` follows.
"""

from __future__ import annotations

from dcmrecv_core import Instance, PluginError, Settings, escape, hookimpl


@hookimpl  # type: ignore[call-overload]  # built in: gets all settings
def configure(settings: Settings) -> None:
    try:
        escape("", settings.filename_extension)
    except ValueError as error:
        raise PluginError(f"--filename-extension: {error}") from error


@hookimpl
def write(instance: Instance, path: str) -> str:
    return instance.save(path)
