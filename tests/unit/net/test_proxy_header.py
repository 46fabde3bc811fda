"""The PROXY protocol: what a header says, where it ends, and what is none."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.net.proxy_header import MOST, Proxies, ProxyHeaderError, length_of, source_of
from support.protocol.proxy_headers import LOCAL, SIGNATURE, version_1, version_2

ADDRESSES = st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None).map(str)
PORTS = st.integers(0, 0xFFFF)
HEADERS = [
    version_1("10.1.2.3"),
    version_1("2001:db8::1"),
    version_2("10.1.2.3"),
    version_2("2001:db8::1", tlvs=b"\x02\0\4name"),
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ::1 ::1 1 2\r\n",
    LOCAL,
]


@settings(deadline=None)
@given(ADDRESSES, PORTS, st.sampled_from([version_1, version_2]))
def test_the_source_is_read(address: str, port: int, version: object) -> None:
    header = version(address, port)  # type: ignore[operator]
    assert length_of(header + b"\1\0more") == len(header)
    found = source_of(header)
    assert found is not None
    assert ipaddress.ip_address(found[0]) == ipaddress.ip_address(address)
    assert found[1] == port


@pytest.mark.parametrize("header", HEADERS)
def test_it_ends_where_it_ends(header: bytes) -> None:
    assert [length_of(header[:length]) for length in range(len(header))] == [0] * len(header)
    assert length_of(header) == length_of(header + b"\r\n") == len(header)


@pytest.mark.parametrize(
    "header",
    [
        LOCAL,
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN x\r\n",
        SIGNATURE + b"\x21\0\0\0",
        SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
    ],
)
def test_some_name_nobody(header: bytes) -> None:
    assert length_of(header) == len(header)
    assert source_of(header) is None


def test_a_mapped_address_is_that_of_ipv4() -> None:
    assert source_of(version_2("::ffff:10.1.2.3")) == ("10.1.2.3", 4711)


@pytest.mark.parametrize(
    "begin",
    [
        b"\1\0",  # an association request
        b"\x16\x03",  # TLS
        b"PROXX",
        b"GET ",
        SIGNATURE[:5] + b"x",
        b"PROXY " + b"x" * 101,
        SIGNATURE + b"\x21\x11\x02\x09",
    ],
)
def test_another_beginning_is_none(begin: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        length_of(begin)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n",
        b"PROXY TCP4  10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n",
        b"PROXY TCP4 10.0.0.256 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 10.0.0.1 ::1 1 2\r\n",
        b"PROXY TCP5 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP4 10.0.0.\u0661 10.0.0.2 1 2\r\n".encode(),
        SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x12\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\0\x0c" + bytes(12),
    ],
)
def test_a_malformed_one_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyHeaderError, match="PROXY header"):
        assert length_of(header) == len(header)
        source_of(header)


AFTER_A_HEADER = st.sampled_from(HEADERS).flatmap(lambda header: st.binary().map(header.__add__))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=600), AFTER_A_HEADER))
def test_any_bytes_have_a_header_or_none(data: bytes) -> None:
    try:
        length = length_of(data)
        assert 0 <= length <= min(len(data), MOST)
        if length:
            source_of(data[:length])
        else:
            assert len(data) < MOST
    except ProxyHeaderError:
        pass


def test_who_has_to_send_one() -> None:
    proxies = Proxies(["10.1.0.0/16", "2001:db8::/32"])
    assert [address in proxies for address in ("10.1.2.3", "10.2.0.1", "2001:db8::7", "fe80::1%eth0")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert "10.1.2.3" not in Proxies()
    assert (bool(proxies), bool(Proxies())) == (True, False)
