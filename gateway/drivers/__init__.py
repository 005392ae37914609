"""Drivers: one file per protocol, beside the pure codecs. `gateway.drivers.table` names them."""
