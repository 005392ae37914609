"""The same outage for others: Node-RED, thingsboard-gateway and mosquitto's bridge beside this gateway."""
