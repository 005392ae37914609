"""The composition root: builds the parts of one process and runs them. Nothing is decided here."""
