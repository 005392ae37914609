"""Fixtures that several rooms' tests use; each lives in a support file."""

pytest_plugins = ["tests.support_broker"]
