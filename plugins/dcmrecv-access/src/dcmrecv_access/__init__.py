"""Which peers may open an association with dcmrecv.

The hooks are here: they read options and judge each association. `rules.py` has the rules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from dcmrecv_access.rules import Rules, parse_networks, parse_titles
from dcmrecv_core import Association, PluginError, PluginOptions, PluginSettings, Reject, hookimpl

log = logging.getLogger("dcmrecv.access")

T = TypeVar("T")


class AccessPlugin:
    """Rejects the associations that the rules of the settings do not allow."""

    def __init__(self) -> None:
        self._rules = Rules()

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        titles = "titles separated by commas, * and ? allowed"
        options.add("--allow-calling", value="titles", help=f"allow these calling AE titles only ({titles})")
        options.add("--allow-called", value="titles", help=f"answer to these called AE titles only ({titles})")
        options.add(
            "--allow-network", value="networks", help="allow peers of these networks only (CIDR, separated by commas)"
        )

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Read the rules; workers are forked from here, so all have them."""
        options = settings.options  # [] and not get: without its options it must not start and admit every sender
        rules = Rules(
            calling=_parsed("--allow-calling", options["allow_calling"], parse_titles),
            called=_parsed("--allow-called", options["allow_called"], parse_titles),
            networks=_parsed("--allow-network", options["allow_network"], parse_networks),
        )
        if not rules:
            raise PluginError(
                "no rule given, so every sender would be admitted: use --allow-calling, --allow-called or "
                "--allow-network"
            )
        self._rules = rules

    @hookimpl
    def negotiate(self, association: Association) -> Reject | None:
        """A rejection or None: which contexts are accepted is for other plugins to say."""
        verdict = self._rules.verdict(association)
        if verdict is not None:
            # the receiver warns of it, and names this plugin
            log.info(
                "association of %r with %r from %s rejected: %s",
                association.calling_ae_title,
                association.called_ae_title,
                association.peer_address,
                verdict.reason.name,
            )
        return verdict


plugin = AccessPlugin()


def _parsed(option: str, text: str | None, parse: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
    if text is None:
        return ()
    try:
        return parse(text)
    except ValueError as error:
        raise PluginError(f"{option}: {error}") from error
