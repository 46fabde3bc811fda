"""Access rules, and the rejection of an association that they do not allow."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dcmrecv_core import Association, Reject, RejectReason

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST_TITLE = 16  # PS3.5 table 6.2-1, AE


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns of AE titles and networks; an empty tuple allows all."""

    calling: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        """Whether they restrict anything."""
        return bool(self.calling or self.called or self.networks)

    def verdict(self, association: Association) -> Reject | None:
        """The rejection, None if the association is allowed. The network comes first: other peers learn no titles."""
        if self.networks and not _is_in(association.peer_address, self.networks):
            return Reject(RejectReason.NO_REASON)
        if self.called and not _matches(association.called_ae_title, self.called):
            return Reject(RejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED)
        if self.calling and not _matches(association.calling_ae_title, self.calling):
            return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
        return None


def parse_titles(text: str) -> tuple[str, ...]:
    """Patterns of AE titles from "A,B*". Raises ValueError with the pattern that cannot match any title."""
    patterns = _split(text)
    for pattern in patterns:
        if "\\" in pattern or not pattern.isprintable() or not pattern.isascii():
            raise ValueError(f"{pattern!r} has a character that no AE title has")
        if len(pattern) > _LONGEST_TITLE and not set("*[") & set(pattern):
            raise ValueError(f"{pattern!r} is longer than the {_LONGEST_TITLE} characters of an AE title")
    return patterns


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks from "10.0.0.0/8,::1". Raises ValueError with one that is malformed or has host bits set."""
    return tuple(ip_network(part) for part in _split(text))


def _split(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError(f"{text!r} has an empty part")
    return parts


def _matches(title: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(title, pattern) for pattern in patterns)


def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    address: Address = ip_address(peer)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # how a socket for both families shows an IPv4 peer
    return any(address in network for network in networks)
