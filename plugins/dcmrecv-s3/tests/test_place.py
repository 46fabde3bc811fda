"""URL, keys and locations."""

from __future__ import annotations

import pytest

from dcmrecv_s3.place import place_of


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://images", ""), ("s3://images/", ""), ("s3://images/a", "a/"), ("s3://images/a/b c/", "a/b c/")],
)
def test_keys_and_locations(url: str, prefix: str) -> None:
    place = place_of(url, None, 20)
    key = place.key_of("CT/1.2.dcm")
    location = place.location_of(key)
    assert key == f"{prefix}CT/1.2.dcm" and location == f"s3://images/{key}"
    assert place.key_in(location) == key


@pytest.mark.parametrize("location", ["/out/CT.1", "s3://images/other/CT.1", "s3://others/a/CT.1", "s3://images/a/"])
def test_locations_of_others(location: str) -> None:
    assert place_of("s3://images/a", None, 20).key_in(location) is None


@pytest.mark.parametrize("url", ["images", "s3://", "s3://Images", "s3://a", "s3://images//a", "s3://images/../a"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="--s3-url"):
        place_of(url, None, 20)


@pytest.mark.parametrize(
    "endpoint", ["", "s3.example.org", "ftp://a", "https://", "https://user:secret@a", "https://a?b"]
)
def test_endpoints_that_cannot_be_used(endpoint: str) -> None:
    with pytest.raises(ValueError, match="--s3-endpoint") as caught:
        place_of("s3://images", endpoint, 20)
    assert "secret" not in str(caught.value)
