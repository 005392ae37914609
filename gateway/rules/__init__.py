"""Rules: pure. Points and quality, conditions, the alarm table, the engine. No I/O, no clock."""
