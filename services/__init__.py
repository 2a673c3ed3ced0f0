"""The shop, one folder a noun."""
