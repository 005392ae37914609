"""Simulators: devices on real sockets, and a cloud that can misbehave. Imports nothing of the gateway."""
