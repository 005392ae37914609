"""Fixtures that several rooms' tests use; each lives in a support file."""

import pytest

pytest_plugins = ["tests.support_broker"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: at the end they would leave the other worker without anything to do."""
    items.sort(key=lambda each: each.get_closest_marker("slow") is None)
