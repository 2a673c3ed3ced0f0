"""`./bazaar check`: everything that can be said of the code without running it."""

from __future__ import annotations

import filecmp
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import yaml
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from rich.console import Console

from tools import docs
from tools.cluster import files
from tools.protos import PACKAGES, GenerationFailed, generate, image

ROOT = Path(__file__).parents[1]
BINARIES = Path(sys.executable).parent
PYTHON = ROOT / "generated" / "python"


@dataclass(frozen=True)
class Check:
    """One question; `ask` answers with what is wrong, empty when nothing is."""

    name: str
    ask: Callable[[], str]


def main() -> int:
    """Runs every check, whatever the others say; returns the exit code."""
    console = Console()
    failed = 0
    for check in CHECKS:
        complaint = check.ask().strip()
        console.print(f"[red]✗ {check.name}[/]" if complaint else f"[green]✓[/] {check.name}", highlight=False)
        if complaint:
            console.print(complaint, markup=False, highlight=False)
            failed += 1
    console.print(f"{len(CHECKS) - failed} passed, {failed} failed", highlight=False)
    return 1 if failed else 0


def _command(*arguments: str) -> Callable[[], str]:
    """What a tool prints when it isn't content."""

    def ask() -> str:
        done = subprocess.run([BINARIES / arguments[0], *arguments[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr) or "It failed without a word." if done.returncode else ""

    return ask


def _lint_protos() -> str:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "image.binpb"
        try:
            image(built)
        except GenerationFailed as error:
            return str(error)
        return _command("buf", "lint", str(built), "--config", "buf.yaml")()


def _breaking_protos() -> str:
    """Compares with the protos of the last commit: what clients were built from must go on working."""
    archive = subprocess.run(["git", "archive", "--format=zip", "HEAD", "protos"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        return ""  # no history here: nothing was promised yet
    with tempfile.TemporaryDirectory() as folder:
        before, now = Path(folder) / "before.binpb", Path(folder) / "now.binpb"
        zipfile.ZipFile(io.BytesIO(archive.stdout)).extractall(folder)
        try:
            image(before, Path(folder) / "protos")
            image(now)
        except GenerationFailed as error:
            return str(error)
        return _command("buf", "breaking", str(now), "--against", str(before), "--config", "buf.yaml")()


def _stale_code() -> str:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        try:
            generate(fresh)
        except GenerationFailed as error:
            return str(error)
        differing = [
            str(path.relative_to(fresh))
            for path in sorted(fresh.rglob("*"))
            if path.is_file() and not _same(path, PYTHON / path.relative_to(fresh))
        ]
        left_over = [
            str(path.relative_to(PYTHON))
            for package in PACKAGES
            for path in sorted((PYTHON / package).rglob("*.py*"))
            if "__pycache__" not in path.parts and not (fresh / path.relative_to(PYTHON)).exists()
        ]
    stale = differing + left_over
    return f"Run `python -m tools.protos`; stale: {', '.join(stale[:5])}" + (" …" if len(stale) > 5 else "") if stale else ""


def _same(one: Path, other: Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def _method_facts() -> str:
    """Every method says who it is for, how long it is kept alive, whether it may be repeated, and who may call it."""
    options = import_module("bazaar.type.v1.method_options_pb2")
    policy = yaml.safe_load((ROOT / "mesh" / "policy.yaml").read_text())["methods"]
    complaints: list[str] = []
    names: set[str] = set()
    for method in _methods():
        name = f"{method.containing_service.full_name}/{method.name}"
        names.add(name)
        facts = method.GetOptions().Extensions[options.method]
        if not facts.visibility:
            complaints.append(f"{name} states no visibility")
        if facts.priority not in (1, 2, 3):
            complaints.append(f"{name} states no priority from 1 to 3")
        if not method.GetOptions().HasField("idempotency_level"):
            complaints.append(f"{name} states no idempotency level")
        if name not in policy:
            complaints.append(f"{name} has no line in mesh/policy.yaml")
        elif (facts.visibility == options.MethodOptions.INTERNAL) == ("edge" in policy[name]["callers"]):
            complaints.append(f"{name}: internal methods, and only they, are closed to the edge")
        elif facts.cacheable_seconds and not _is_for_everybody(method, policy[name]["roles"]):
            complaints.append(f"{name}: only reads that need no user may be cached")
    complaints += [f"mesh/policy.yaml names {name}, which is no method" for name in sorted(policy.keys() - names)]
    return "\n".join(complaints)


def _is_for_everybody(method: MethodDescriptor, roles: list[str]) -> bool:
    is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return is_read and not method.server_streaming and "anyone" in roles


def _methods() -> Iterator[MethodDescriptor]:
    for path in sorted((PYTHON / "bazaar").rglob("*_service_pb2.py")):
        module = import_module(".".join(path.relative_to(PYTHON).with_suffix("").parts))
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def _error_reasons() -> str:
    """Every reason that code gives is one that clients can look up."""
    from services.kit.errors import DomainError

    reasons = import_module("bazaar.type.v1.errors_pb2").ErrorReason.keys()
    for path in sorted((ROOT / "services").rglob("*.py")):
        if path.name != "__main__.py":
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    kinds = {"INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "PERMISSION_DENIED"}
    unknown = {f"{error.__module__}.{error.__name__}: {error.reason}" for error in _descendants(DomainError) if error.reason not in reasons}
    return "\n".join(sorted(name for name in unknown if name.rpartition(" ")[2] not in kinds))


def _descendants(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


CHECKS = (
    Check("ruff", _command("ruff", "check", ".")),
    Check("ruff format", _command("ruff", "format", "--check", ".")),
    Check("pyright", _command("pyright")),
    Check("imports (who may know whom)", _command("lint-imports", "--config", "pyproject.toml")),
    Check("buf lint", _lint_protos),
    Check("buf format", _command("buf", "format", "protos", "--diff", "--exit-code")),
    Check("buf breaking (against the last commit)", _breaking_protos),
    Check("generated code is fresh", _stale_code),
    Check("every method states its facts", _method_facts),
    Check("every error reason is documented", _error_reasons),
    Check("generated pages are fresh", docs.stale),
    Check("generated manifests are fresh", files.stale),
)

if __name__ == "__main__":
    sys.exit(main())
