"""Web: the FastAPI app, live view, authentication, the static console."""
