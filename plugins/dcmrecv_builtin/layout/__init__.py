"""`--layout PATTERN`: directories and file names by a pattern like {PatientID}/{StudyDate:%Y/%m}/{SOPInstanceUID}.dcm.

    pattern       `Layout`: a pattern, compiled when the receiver starts -> directory and name of an instance
      syntax        the text of a pattern -> literals and fields
      fields        what the name of a field stands for
      conversions   what may follow a `:` in a field
        person_names  components and groups of a person name
        replacements  characters and expressions that are replaced or dropped
          expressions   regular expressions without backtracking
      lengths       the limit of `--layout-limit`

docs/layout.md is the reference.
"""

from __future__ import annotations

import logging

from dcmrecv_builtin.layout.lengths import PathLimit
from dcmrecv_builtin.layout.pattern import Layout
from dcmrecv_builtin.layout.syntax import LayoutError
from dcmrecv_core import Instance, Name, PluginError, PluginSettings, hookimpl

log = logging.getLogger("dcmrecv.plugins")

_PATH = "layout.path"


class LayoutPlugin:
    """Names instances by the layout that `configure` compiles."""

    def __init__(self) -> None:
        self._layout: Layout | None = None

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        options = settings.options
        if options["subdirs"] != "no-subdir" or options["filenames"] != "instance-uid":
            raise PluginError("--layout cannot be combined with other naming options")
        limit = options["layout_limit"]
        try:
            self._layout = Layout(
                options["layout"], None if limit is None else PathLimit(limit, len(options["filename_extension"]))
            )
        except LayoutError as error:
            raise PluginError(f"--layout: {error}") from error
        except ValueError as error:
            raise PluginError(f"--layout-limit: {error}") from error
        if not self._layout.differs_per_instance and options["on_duplicate"] not in ("rename", "refuse"):
            _warn(overwrites=options["on_duplicate"] == "overwrite")

    @hookimpl
    def choose_subdir(self, instance: Instance) -> str:
        instance.state[_PATH] = path = self._path(instance)
        return path[0]

    @hookimpl
    def choose_filename(self, instance: Instance) -> Name:
        return Name((instance.state.get(_PATH) or self._path(instance))[1])

    def _path(self, instance: Instance) -> tuple[str, str]:
        if self._layout is None:
            raise PluginError("layout: not configured")
        said = instance.explained
        if said is None:
            return self._layout.path(instance)
        path, lines = self._layout.explain(instance)
        said += lines
        return path


def _warn(*, overwrites: bool) -> None:
    log.warning(
        "--layout: nothing in the pattern tells the instances of a series apart (SOPInstanceUID, InstanceNumber, "
        "random ...): %s",
        "one of the same name overwrites the other" if overwrites else "all but one get names with ~ and a hash",
    )


plugin = LayoutPlugin()
