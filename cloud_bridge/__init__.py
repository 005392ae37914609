"""The cloud bridge: reads the outbox, speaks to clouds, settles. Its own process.

Alarms, rules and devices do not belong here: the bridge sees rows that the gateway has committed, and nothing else.
"""
