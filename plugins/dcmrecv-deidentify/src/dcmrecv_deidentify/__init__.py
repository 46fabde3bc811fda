"""De-identifies what dcmrecv receives, before anything is named or stored: PS3.15 annex E.

The hooks are here.

    profile/        what is to become of each element: table of the standard, options, rules of a site
    encoded/        data elements as bytes
    pseudonyms/     the key, what is made with it, the list of those who must go back
    classes         instances that are refused for what they are
    treatment       one instance, element by element
      content       items of structured reports
      words         cleaned texts
    deidentifier    the header of an instance replaced
    explaining      what `--explain` says
    report          the report of an association
"""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import Any

from dcmrecv_core import Association, Instance, PluginOptions, PluginSettings, Refuse, Summary, hookimpl
from dcmrecv_deidentify import report
from dcmrecv_deidentify.classes import KINDS, NEVER, Refusals
from dcmrecv_deidentify.deidentifier import METHOD, Deidentifier, TooLarge, Unchangeable
from dcmrecv_deidentify.encoded.elements import Unreadable
from dcmrecv_deidentify.profile import table
from dcmrecv_deidentify.profile.plans import Plans
from dcmrecv_deidentify.profile.rules import Rule
from dcmrecv_deidentify.pseudonyms.key import load_key
from dcmrecv_deidentify.pseudonyms.made import Pseudonyms
from dcmrecv_deidentify.pseudonyms.pairs import PairList

log = logging.getLogger("dcmrecv.deidentify")

CANNOT_UNDERSTAND, OUT_OF_RESOURCES, PROCESSING_FAILURE = 0xC000, 0xA700, 0x0110


class DeidentifyPlugin:
    """De-identifies each instance, or refuses it."""

    def __init__(self) -> None:
        self._deidentifier: Deidentifier | None = None
        self._refusals = Refusals((), ())
        self._pairs: PairList | None = None
        self._reports: Path | None = None
        self._report: tuple[str, report.Report] | None = None
        """Of the association that this worker serves, by its id."""
        self._profile: dict[str, Any] = {}

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        names = tuple(table.OPTIONS)
        acceptable = tuple(kind for kind in KINDS if kind not in NEVER)
        options.add("--deidentify-key", value="file", type=Path, help="key of the pseudonyms; made if it is not there")
        options.add("--deidentify-options", value="name", type=list, choices=names, help="an option of the profile")
        options.add("--deidentify-refuse", value="kind", type=list, choices=KINDS, help="refuse such instances too")
        options.add("--deidentify-accept", value="kind", type=list, choices=acceptable, help="do not refuse such ones")
        options.add("--deidentify-list", value="file", type=Path, help="list of the pseudonyms and who they are")
        options.add("--deidentify-report", value="directory", type=Path, help="a report of each association")
        options.add("--rules", table=Rule, many=True, help="what becomes of single elements")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Read the key and make all plans; the workers are forked from here."""
        options = settings.options
        if options["deidentify_key"] is None:
            raise ValueError("--deidentify-key FILE is needed: all pseudonyms are made with it")
        chosen = options["deidentify_options"]
        if {table.RETAIN_FULL_DATES, table.RETAIN_MODIFIED_DATES} <= set(chosen):
            raise ValueError(f"either {table.RETAIN_FULL_DATES} or {table.RETAIN_MODIFIED_DATES}, not both")
        refusals = Refusals(options["deidentify_refuse"], options["deidentify_accept"])
        plans = Plans(chosen, options["rules"])
        plans.make_all()
        reports = options["deidentify_report"]
        if reports is not None and not os.access(reports, os.W_OK | os.X_OK):
            raise ValueError(f"--deidentify-report {reports} is not a directory that can be written to")
        key = load_key(options["deidentify_key"].absolute(), settings.output_directory)
        listed = options["deidentify_list"]
        if listed is not None and listed.resolve() == options["deidentify_key"].resolve():
            raise ValueError(f"--deidentify-list {listed} is the key")
        self._pairs = None if listed is None else PairList(listed.absolute(), settings.output_directory)
        self._reports = None if reports is None else reports.absolute()
        self._deidentifier, self._refusals = Deidentifier(plans, Pseudonyms(key)), refusals
        self._profile = {
            "method": METHOD.decode(),
            "edition": table.EDITION,
            "options": sorted(chosen),
            "rules": len(options["rules"]),
        }
        log.warning(
            "pixels are not looked at: burned-in text and faces stay as they are. Refused: %s",
            ", ".join(sorted(refusals.kinds)),
        )

    @hookimpl(tryfirst=True)
    def receive(self, instance: Instance) -> Refuse | None:
        """First of all plugins, so that the others see the new values only."""
        counts = None if self._reports is None else self._report_of(instance.association)
        refusal = self._deidentify(instance, counts)
        if counts is not None:
            if refusal is None:
                counts.deidentified += 1
            else:
                counts.refuse(refusal)
        return refusal

    @hookimpl
    def association_ended(self, association: Association, summary: Summary) -> None:
        if self._reports is None:
            return
        counts = self._report_of(association)
        self._report = None
        report.write(self._reports, counts.as_dict(association, summary, self._profile))

    def _report_of(self, association: Association) -> report.Report:
        if self._report is None or self._report[0] != association.id:
            self._report = association.id, report.Report()
        return self._report[1]

    def _deidentify(self, instance: Instance, counts: report.Report | None) -> Refuse | None:
        if self._deidentifier is None:
            raise RuntimeError("not configured")
        try:
            if (refusal := self._refusals.judge(instance)) is not None:
                return refusal
            treatment = self._deidentifier.deidentify(instance, None if counts is None else counts.changed)
            if self._pairs is not None and instance.explained is None:
                self._pairs.add(treatment.pairs)
        except Unreadable as error:
            return Refuse(CANNOT_UNDERSTAND, f"not de-identified: {error}")
        except TooLarge as error:
            return Refuse(OUT_OF_RESOURCES, f"not de-identified: {error}")
        except OSError as error:
            log.error("the list of pseudonyms, or the instance, cannot be read or written: %s", error.strerror)
            return Refuse(OUT_OF_RESOURCES, "not de-identified: a file cannot be read or written")
        except Unchangeable as error:
            return Refuse(PROCESSING_FAILURE, f"not de-identified: {error}")
        except Exception as error:  # its text may have a value, which no log may have
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s, whose text is left out because it may have values:\n%s", type(error).__name__, where)
            return Refuse(PROCESSING_FAILURE, f"not de-identified: {type(error).__name__}")
        return None


plugin = DeidentifyPlugin()
