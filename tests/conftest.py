"""Fixtures that several rooms' tests use; each lives in a support file."""

import os

import pytest

pytest_plugins = ["tests.support_broker", "tests.support_store"]


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: for more than half of their time these tests wait for sockets."""
    return (os.cpu_count() or 1) * 3 // 2 or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: at the end they would leave the other worker without anything to do."""
    items.sort(key=lambda each: each.get_closest_marker("slow") is None)
