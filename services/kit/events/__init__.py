"""The event bus: the port, and the adapter that keeps it in PostgreSQL."""
