"""Removes old studies: those older than `--keep-days`, and the oldest while the disk is fuller than `--max-disk`.

    rounds        once a minute: which studies go, and why others stay
      limits      what `--max-disk` means, and how much is too much
      ownership   whether a file is still the one that the receiver wrote
      commitments instances that somebody has asked about, without an answer yet
      removal     a study is set aside, looked at again, then removed or put back
        notes     what is set aside, so that a killed process leaves nothing half done

The hooks are here. `study_completed` does nothing: with it the receiver has a clock of studies, which says which are
still arriving.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core import PluginError, PluginOptions, PluginSettings, Study, hookimpl
from dcmrecv_retention.limits import Limits, parse_days, parse_disk

if TYPE_CHECKING:
    from dcmrecv_retention.rounds import Rounds


class RetentionPlugin:
    """The hooks; all is done in the background process."""

    def __init__(self) -> None:
        self._output = Path()
        self._limits = Limits()
        self._delete = False

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--keep-days", value="number", type=parse_days, help="remove studies that came longer ago")
        options.add(
            "--max-disk",
            value="size",
            type=parse_disk,
            help="remove the oldest studies above this: 2T for all studies, or 80% of the file system",
        )
        options.add("--retention-delete", help="really remove them; without it the log says what would be removed")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Raises PluginError without a limit, or without the index."""
        given = settings.options
        self._limits = Limits(given["keep_days"], given["max_disk"])
        self._delete = bool(given["retention_delete"])
        self._output = Path(os.path.abspath(settings.output_directory))
        if self._limits == Limits():
            raise PluginError("nothing to do: use --keep-days or --max-disk")
        try:
            settings.for_plugin("index")
        except LookupError:
            raise PluginError("it needs dcmrecv-index, which knows the studies: add --plugin index") from None

    @hookimpl
    def study_completed(self, study: Study) -> None:
        """So that studies have a clock."""

    @hookimpl
    def background(self, settings: PluginSettings) -> None:
        with self.rounds(settings) as rounds:
            rounds.run()

    def rounds(self, settings: PluginSettings) -> Rounds:
        from dcmrecv_index.database import checked_url, index_file
        from dcmrecv_retention.rounds import Rounds

        state = settings.state_directory
        url: str | None = settings.for_plugin("index").get("index_url")
        where = index_file(state) if url is None else checked_url(url)
        return Rounds(where, self._output, state, self._limits, delete=self._delete, hash_of=settings.original_uid_hash)


plugin = RetentionPlugin()
