"""Turns protos/ into generated/python, and into the image that buf checks; the protos of gateway/foreign, which no client needs, too.

`buf/validate/validate.proto` is in no Python package as text, only as the descriptor that protovalidate carries; protoc gets it from
there, so that generating needs nothing but the installed requirements.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api  # namespace package: the folder above holds google/api and google/rpc
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"
PYTHON = ROOT / "generated" / "python"
EDGE_PROTOS = ROOT / "gateway"
PACKAGES = ("bazaar", "buf", "foreign")
_ONLY_IMPORTED = b"\xd2\xf6\x03\x02\x08\x01"
"""Field 8042 of a file in a buf image, `{is_import: true}`: not to be linted."""


class GenerationFailed(Exception):
    """protoc refused the protos; the text is protoc's own."""


def sources(protos: Path = PROTOS) -> list[str]:
    """Every proto file, relative to its root, in a stable order."""
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


def generate(target: Path = PYTHON) -> None:
    """Writes messages, type stubs and gRPC stubs below `target`; what was there before is replaced.

    Raises:
        GenerationFailed: a proto file is wrong.
    """
    for package in PACKAGES:
        shutil.rmtree(target / package, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    plugins = [f"--python_out={target}", f"--mypy_out={target}"]
    with_services = [name for name in sources() if name.endswith("_service.proto")]
    _protoc([*plugins, *sources(), "buf/validate/validate.proto"])
    _protoc([f"--grpc_python_out={target}", f"--mypy_grpc_out={target}", *with_services])
    _protoc([*plugins, *sources(EDGE_PROTOS)], EDGE_PROTOS)
    for package in PACKAGES:
        for folder in [target / package, *(path for path in (target / package).rglob("*") if path.is_dir())]:
            (folder / "__init__.py").touch()
        (target / package / "py.typed").touch()


def image(path: Path, protos: Path = PROTOS) -> None:
    """Writes the protos and all they import as one buf image, comments included, which is what buf lints and compares.

    Raises:
        GenerationFailed: a proto file is wrong.
    """
    _protoc(["--include_imports", "--include_source_info", f"--descriptor_set_out={path}", *sources(protos)], protos)
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    for file in files.file:
        if not file.package.startswith("bazaar."):
            file.MergeFromString(_ONLY_IMPORTED)
    path.write_bytes(files.SerializeToString())


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """The protos and all they import, comments included.

    Raises:
        GenerationFailed: a proto file is wrong.
    """
    with tempfile.NamedTemporaryFile(suffix=".binpb") as file:
        image(Path(file.name))
        return descriptor_pb2.FileDescriptorSet.FromString(Path(file.name).read_bytes())


def _protoc(arguments: list[str], protos: Path = PROTOS) -> None:
    binaries = Path(sys.executable).parent
    with tempfile.NamedTemporaryFile(suffix=".binpb") as validate:
        validate.write(_validate_descriptor_set())
        validate.flush()
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{_googleapis()}", f"--descriptor_set_in={validate.name}"),
            *(f"--plugin={name}={binaries / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GenerationFailed(done.stderr.strip())


def _googleapis() -> Path:
    return Path(next(iter(google.api.__path__))).parents[1]


def _validate_descriptor_set() -> bytes:
    """buf.validate's file and what it imports, out of protovalidate's own generated code."""
    modules = (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    files = [descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in modules]
    files.append(descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


if __name__ == "__main__":
    generate()
