"""The cloud bridge: reads the outbox, speaks to clouds, settles. Its own process."""
