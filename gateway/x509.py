"""Until when a certificate is good, and whose it is: as much of X.509 as that takes.

Whether that is soon or wrong, and who is told, belongs to whoever asks.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_MAX_FILE_BYTES = 1_000_000
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_COMMON_NAME, _UNIT = b"\x55\x04\x03", b"\x55\x04\x0b"


def until(der: bytes) -> datetime:
    """The end of a certificate's validity (X.509, RFC 5280 4.1.2.5), an aware UTC instant.

    Raises:
        ValueError: it is no certificate.
    """
    try:
        fields = _fields(der)
        _, (kind, text), *_ = _parts(fields[3][1])  # serial, algorithm, issuer, validity: not before, not after
        pattern = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[kind]
        return datetime.strptime(text.decode("ascii"), pattern).replace(tzinfo=UTC)
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError("this is no certificate") from error


def gateway_of(path: Path) -> str:
    """The gateway a client certificate was made for by `deploy/pki/make-certs.sh` (CN, with OU=gateway); "" of others.

    Raises:
        OSError, ValueError: the file can't be read, or what it holds is damaged.
    """
    with path.open(encoding="ascii", errors="replace") as file:
        found = _PEM.search(file.read(_MAX_FILE_BYTES))
    try:
        names = {} if found is None else _subject(ssl.PEM_cert_to_DER_cert(found.group()))
    except IndexError as error:
        raise ValueError("this is no certificate") from error
    return names.get(_COMMON_NAME, "") if names.get(_UNIT) == "gateway" else ""


def _subject(der: bytes) -> dict[bytes, str]:
    """By object identifier: serial, algorithm, issuer, validity, then the subject (RFC 5280 4.1)."""
    pairs = [list(_parts(pair)) for _, names in _parts(_fields(der)[4][1]) for _, pair in _parts(names)]
    return {key: text.decode("utf-8", "replace") for (_, key), (_, text) in pairs}


def _fields(der: bytes) -> list[tuple[int, bytes]]:
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    return [part for part in _parts(signed) if part[0] != _VERSION]


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element, one after the other."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(der[at : at + count]), at + count
        if at + size > len(der):
            raise ValueError("cut short")
        yield tag, der[at : at + size]
        at += size


def first_end(path: Path) -> datetime | None:
    """The first end among the certificates in a PEM file; None where it holds none.

    Raises:
        OSError, ValueError: the file can't be read, or what it holds is damaged.
    """
    with path.open(encoding="ascii", errors="replace") as file:  # names beside the certificate may be in Chinese
        found = _PEM.findall(file.read(_MAX_FILE_BYTES))
    return min((until(ssl.PEM_cert_to_DER_cert(each)) for each in found), default=None)
