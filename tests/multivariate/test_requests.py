"""What is asked for, and what of it may be shown."""

from __future__ import annotations

import pytest

from detector.multivariate.requests import redacted


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a.example/x.csv?sv=1&sig=secret", "https://a.example/x.csv?..."),
        ("https://a.example/x.csv#secret", "https://a.example/x.csv?..."),
        (" HTTPS://a.example/x?secret", " HTTPS://a.example/x?..."),
        ("https://user:secret@a.example:8443/x@y/z.csv", "https://a.example:8443/x@y/z.csv"),
        ("https://a.example/x@y.csv", "https://a.example/x@y.csv"),
        ("rediss://:secret@host:6379/0?ssl_password=secret", "rediss://host:6379/0?..."),
        ("s3://bucket/x.csv", "s3://bucket/x.csv"),
        ("data/what?.csv", "data/what?.csv"),
        ("/data/x.csv", "/data/x.csv"),
        ("https://a.example/x?...", "https://a.example/x?..."),
    ],
)
def test_an_address_is_shown_without_what_grants_access(address: str, shown: str) -> None:
    assert redacted(address) == shown
