"""Calls between services: the same rules over a socket and inside one process."""
