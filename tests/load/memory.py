"""What processes hold in memory."""

from __future__ import annotations

from pathlib import Path


def mebibytes(root: int) -> float:
    """Held by a process and all below it; what is shared with others counts in parts (Pss)."""
    return sum(map(_kibibytes, _family(root))) / 1024


def _family(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _kibibytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
