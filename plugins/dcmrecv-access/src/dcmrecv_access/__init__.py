"""Who may open an association with dcmrecv.

The hooks are here: options in, a verdict on each association out. `rules.py` has the rules and what they say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from dcmrecv_access.rules import Rules, parse_networks, parse_titles
from dcmrecv_core import Association, PluginError, PluginOptions, Reject, Settings, hookimpl

log = logging.getLogger("dcmrecv.access")

T = TypeVar("T")

_rules = Rules()


@hookimpl
def add_options(options: PluginOptions) -> None:
    titles = "titles separated by commas, * and ? allowed"
    options.add("--allow-calling", value="titles", help=f"allow these calling AE titles only ({titles})")
    options.add("--allow-called", value="titles", help=f"answer to these called AE titles only ({titles})")
    options.add(
        "--allow-network", value="networks", help="allow peers of these networks only (CIDR, separated by commas)"
    )


@hookimpl
def configure(settings: Settings) -> None:
    """Read the rules; workers are forked from here, so all have them."""
    global _rules
    options = settings.options  # [] and not get: without its options it must not start and let everybody in
    rules = Rules(
        calling=_parsed("--allow-calling", options["allow_calling"], parse_titles),
        called=_parsed("--allow-called", options["allow_called"], parse_titles),
        networks=_parsed("--allow-network", options["allow_network"], parse_networks),
    )
    if not rules:
        raise PluginError("everybody would be allowed: give --allow-calling, --allow-called or --allow-network")
    _rules = rules


@hookimpl
def negotiate(association: Association) -> Reject | None:
    """A rejection or no opinion: which contexts are accepted is for others to say."""
    verdict = _rules.verdict(association)
    if verdict is not None:
        log.warning(
            "association of %r with %r from %s rejected: %s",
            association.calling_ae_title,
            association.called_ae_title,
            association.peer_address,
            verdict.reason.name,
        )
    return verdict


def _parsed(option: str, text: str | None, parse: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
    if text is None:
        return ()
    try:
        return parse(text)
    except ValueError as error:
        raise PluginError(f"{option}: {error}") from error
