"""Secrets by reference: a file, an environment variable, or a systemd credential; never a value in the YAML."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

_DELETE = 127


class SecretError(Exception):
    """The secret a reference names cannot be read; the text says which and never what."""


class SecretRef(BaseModel):
    """``{file: path}``, ``{env: NAME}`` or ``{credential: name}`` (a file in $CREDENTIALS_DIRECTORY)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = None
    env: str | None = None
    credential: str | None = None

    @model_validator(mode="after")
    def _names_one(self) -> SecretRef:
        if sum(each is not None for each in (self.file, self.env, self.credential)) != 1:
            raise PydanticCustomError("one_secret", "name exactly one of file, env, credential")
        return self

    def read(self) -> str:
        """The secret itself, without the line end of a file.

        Raises:
            SecretError: there is no such file, variable or credential, or it holds more than one line.
        """
        secret = self.text()
        if any(ord(each) < ord(" ") or ord(each) == _DELETE for each in secret):
            # libraries refuse these in a header or a password by an error that quotes all of it
            where = f"the environment variable {self.env}" if self.env is not None else f"the secret {self._path()}"
            raise SecretError(f"{where} holds more than one line, or control characters: leave only the secret there")
        return secret

    def text(self) -> str:
        """All of it, also several lines, without the last line end.

        Raises:
            SecretError: there is no such file, variable or credential.
        """
        if self.env is not None:
            if self.env not in os.environ:
                raise SecretError(f"the environment variable {self.env} is not set")
            return os.environ[self.env]
        try:
            return self._path().read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"cannot read the secret {self._path()}: {type(error).__name__}") from None

    def _path(self) -> Path:
        if self.credential is not None:
            return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / self.credential
        return Path(str(self.file))
