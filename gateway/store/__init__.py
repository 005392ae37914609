"""Storage: all SQL. Journal, outbox, cursors, users, migrations."""
