"""Real brokers for tests: Debian's mosquitto and the embedded one, each on a free port in its own directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulators.broker import EmbeddedBroker, MosquittoBroker, Security

IS_CI = os.environ.get("SHOUWANG_CI") == "1"


def need(package: str, *, is_there: bool) -> None:
    """Skip the test with one line that says what to install; in CI its absence is a failure."""
    if not is_there:
        words = f"needs Debian's {package}: apt-get install {package}"
        if IS_CI:
            pytest.fail(words)
        pytest.skip(words)


@pytest.fixture
def mosquitto_with(tmp_path: Path) -> Iterator[Callable[[Security], MosquittoBroker]]:
    """Starts mosquittos with given security; all are killed at the end."""
    need("mosquitto", is_there=MosquittoBroker.find() is not None)
    started: list[MosquittoBroker] = []

    def start(security: Security) -> MosquittoBroker:
        broker = MosquittoBroker(None, tmp_path / f"mosquitto{len(started)}", security=security)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def mosquitto(mosquitto_with: Callable[[Security], MosquittoBroker]) -> MosquittoBroker:
    """A mosquitto that asks for nothing."""
    return mosquitto_with(Security())


@pytest.fixture
def embedded_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """The demo's broker."""
    broker = EmbeddedBroker(None, tmp_path / "embedded")
    broker.start()
    yield broker
    broker.kill()
