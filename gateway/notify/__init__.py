"""Notification: pure policy and text; channels."""
