"""The code behind ./bazaar: local servers, their supervisor, and one file a command."""
