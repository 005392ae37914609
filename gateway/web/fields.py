"""Web: what names, words and passwords in a request must be. The requests themselves are in `gateway.web.schemas`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_LOWEST_PRINTABLE = " "
MIN_PASSWORD = 8


def printable(text: str) -> str:
    """The text itself; raises ValueError for control characters."""
    if any(each < _LOWEST_PRINTABLE or each == "\x7f" for each in text):
        raise ValueError("control characters are not allowed")
    return text


def is_strong(password: str) -> bool:
    """Long enough, and not one key held down."""
    return len(password) >= MIN_PASSWORD and len(set(password)) >= 3


def _strong(password: str) -> str:
    if not is_strong(password):
        raise ValueError("too simple: use at least three different characters")
    return password


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32), AfterValidator(printable)]
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(printable)
]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=128), AfterValidator(_strong)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
