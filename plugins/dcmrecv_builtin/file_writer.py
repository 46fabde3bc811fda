"""Write the instance as a DICOM file below the output directory; a `write` of any named plugin is asked before.

`--on-duplicate` says what becomes of a name that may be overwritten and is taken by another content; equal content is
then not written twice. What "keep" drops has `instance.state["dropped"]`. Without the option the file is overwritten,
as by dcmrecv, and nobody looks. Names with an `on_exists` of their own (`+fu`, a plugin's) are left alone.
"""

from __future__ import annotations

import logging
import os

from dcmrecv_builtin.duplicates import is_stored, numbered
from dcmrecv_core import Instance, PluginError, Settings, escape, hookimpl

log = logging.getLogger("dcmrecv.plugins")

_settings = Settings()


@hookimpl
def configure(settings: Settings) -> None:
    global _settings
    try:
        escape("", settings.filename_extension)
    except ValueError as error:
        raise PluginError(f"--filename-extension: {error}") from error
    _settings = settings


@hookimpl
def write(instance: Instance, path: str) -> str:
    policy = _settings.on_duplicate
    if policy is None or instance.on_exists != "overwrite":
        return instance.save(path)
    if policy == "keep":
        if os.path.lexists(path) and not is_stored(instance, path, flush=False):
            instance.state["dropped"] = True
            log.warning("%s: another content has this name, dropping this one: %s", instance.sop_instance_uid, path)
        return instance.save(path, "keep")
    if policy == "rename" and instance.attempt:
        path = numbered(path, instance.attempt + 1, _settings.filename_extension)
    if is_stored(instance, path, flush=_settings.fsync):
        return instance.save(path, "keep")  # writes nothing, but flushes the directory
    # "retry": if the name is taken, the core asks again with the next attempt
    return instance.save(path, "retry" if policy == "rename" else policy)
