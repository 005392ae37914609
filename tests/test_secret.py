"""Secrets by reference: where they are read, and that nothing of them is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.secret import SecretError, SecretRef

SECRET = "hunter2-密"


def test_a_secret_is_read_from_where_its_reference_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, an environment variable, a systemd credential; each time anew, so that it can be changed."""
    (tmp_path / "password").write_text(f"{SECRET}\n", "utf-8")
    monkeypatch.setenv("PLATFORM_PASSWORD", SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    refs = [
        SecretRef(file=str(tmp_path / "password")),
        SecretRef(env="PLATFORM_PASSWORD"),
        SecretRef(credential="password"),
    ]
    assert [each.read() for each in refs] == [SECRET] * 3
    (tmp_path / "password").write_text("new\r\n", "utf-8")
    assert [each.read() for each in refs] == ["new", SECRET, "new"]


def test_what_cannot_be_read_is_named_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which file, variable or credential; a file of other bytes does not appear in it either."""
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "bytes").write_bytes(SECRET.encode("gb18030") + b"\xff")
    (tmp_path / "lines").write_text(f"{SECRET}\n# of the platform\n", encoding="utf-8")
    monkeypatch.setenv("TWO_LINES", f"{SECRET}\r\nx")
    for ref, word in (
        (SecretRef(file=str(tmp_path / "nowhere")), "nowhere"),
        (SecretRef(file=str(tmp_path / "bytes")), "bytes"),
        (SecretRef(file=str(tmp_path / "lines")), "lines"),
        (SecretRef(env="NOT_SET"), "NOT_SET"),
        (SecretRef(env="TWO_LINES"), "TWO_LINES"),
        (SecretRef(credential="platform"), "platform"),
    ):
        with pytest.raises(SecretError, match=word) as caught:
            ref.read()
        assert "hunter2" not in str(caught.value)
        assert SECRET not in repr(ref)


@pytest.mark.parametrize("said", [{}, {"file": "a", "env": "B"}, {"value": "x"}, "plain"])
def test_a_reference_names_exactly_one_place(said: Any) -> None:
    """Neither none nor two, and never the secret itself."""
    with pytest.raises(ValidationError):
        SecretRef.model_validate(said)
