"""Before a session: the reference capture."""
