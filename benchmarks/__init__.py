"""Benchmarks: each figure beside its floor and its peer, measured in the same run. No product code belongs here."""
