"""Write the instance as a DICOM file below the output directory; a `write` of any named plugin is asked before.

The core decides what happens if the name is taken: from `Name.on_exists`, `--on-duplicate` and the default of the
scheme that chose the name it makes `instance.on_exists`, which `save` follows. What was written is opened and removed
here too.
"""

from __future__ import annotations

from typing import BinaryIO

from dcmrecv_core import Instance, PluginError, PluginSettings, escape, hookimpl, open_stored, remove_stored


class FileWriter:
    """Files below the output directory."""

    def __init__(self) -> None:
        self._directory = ("", "")  # and where it starts, if it is relative

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        try:
            escape("", settings.options["filename_extension"])
        except ValueError as error:
            raise PluginError(f"--filename-extension: {error}") from error
        self._directory = (settings.output_directory or ".", settings.options["working_directory"])

    @hookimpl
    def write(self, instance: Instance, path: str) -> str:
        return instance.save(path)

    @hookimpl
    def open_location(self, location: str) -> BinaryIO | None:
        return open_stored(location, *self._directory)

    @hookimpl
    def remove_location(self, location: str) -> bool | None:
        return remove_stored(location, *self._directory)


plugin = FileWriter()
