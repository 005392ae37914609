"""守望 Shouwang: a smart-community edge gateway."""

__version__ = "0.1.0"
