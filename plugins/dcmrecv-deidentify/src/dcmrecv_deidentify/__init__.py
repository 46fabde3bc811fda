"""De-identifies what dcmrecv receives, before anything is named or stored: PS3.15 annex E.

The hooks are here.

    actions           what can become of an element
    table             the table of the standard under the profile and its options
    rules             the rules of a site
    safe_private      private elements that may stay
    plans             all of these: one plan for each element
    elements          data elements as bytes
    values            dummies, and which values may stay
    character_sets    of texts that stay
    words             cleaned texts
    content           items of structured reports
    key               the key
    pseudonyms        what is made with it
    treatment         one instance, element by element
    deidentifier      its header replaced
    classes           instances that are refused for what they are
"""

from __future__ import annotations

import logging
from pathlib import Path

from dcmrecv_core import Instance, PluginOptions, PluginSettings, Refuse, hookimpl
from dcmrecv_deidentify import table
from dcmrecv_deidentify.classes import KINDS, NEVER, Refusals
from dcmrecv_deidentify.deidentifier import Deidentifier, TooLarge
from dcmrecv_deidentify.elements import Unreadable
from dcmrecv_deidentify.key import load_key
from dcmrecv_deidentify.plans import Plans
from dcmrecv_deidentify.pseudonyms import Pseudonyms
from dcmrecv_deidentify.rules import Rule

log = logging.getLogger("dcmrecv.deidentify")

CANNOT_UNDERSTAND, OUT_OF_RESOURCES = 0xC000, 0xA700


class DeidentifyPlugin:
    """De-identifies each instance, or refuses it."""

    def __init__(self) -> None:
        self._deidentifier: Deidentifier | None = None
        self._refusals = Refusals((), ())

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        names = tuple(table.OPTIONS)
        acceptable = tuple(kind for kind in KINDS if kind not in NEVER)
        options.add("--deidentify-key", value="file", type=Path, help="key of the pseudonyms; made if it is not there")
        options.add("--deidentify-options", value="name", type=list, choices=names, help="an option of the profile")
        options.add("--deidentify-refuse", value="kind", type=list, choices=KINDS, help="refuse such instances too")
        options.add("--deidentify-accept", value="kind", type=list, choices=acceptable, help="do not refuse such instances")
        options.add("--rules", table=Rule, many=True, help="what becomes of single elements")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Read the key and make all plans; the workers are forked from here."""
        options = settings.options
        path = options["deidentify_key"]
        if path is None:
            raise ValueError("--deidentify-key FILE is needed: all pseudonyms are made with it")
        chosen = options["deidentify_options"]
        if {table.RETAIN_FULL_DATES, table.RETAIN_MODIFIED_DATES} <= set(chosen):
            raise ValueError(f"either {table.RETAIN_FULL_DATES} or {table.RETAIN_MODIFIED_DATES}, not both")
        refusals = Refusals(options["deidentify_refuse"], options["deidentify_accept"])
        plans = Plans(chosen, options["rules"])
        plans.make_all()
        key = load_key(path, settings.output_directory)
        self._deidentifier, self._refusals = Deidentifier(plans, Pseudonyms(key)), refusals

    @hookimpl(tryfirst=True)
    def receive(self, instance: Instance) -> Refuse | None:
        """First of all plugins, so that the others see the new values only."""
        if self._deidentifier is None:
            raise RuntimeError("not configured")
        refusal = self._refusals.judge(instance)
        if refusal is not None:
            return refusal
        try:
            self._deidentifier.deidentify(instance)
        except Unreadable as error:
            return Refuse(CANNOT_UNDERSTAND, f"not de-identified: {error}")
        except TooLarge as error:
            return Refuse(OUT_OF_RESOURCES, f"not de-identified: {error}")
        return None


plugin = DeidentifyPlugin()
