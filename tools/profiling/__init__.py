"""Where the CPU goes while the shop is under load: by process, and within the workers by layer."""

from tools.profiling.run import profile

__all__ = ["profile"]
