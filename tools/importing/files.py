"""Finds out what kind of file it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tools import ExpectedFailure
from tools.importing import complete_journey, flipkart, listing
from tools.importing.records import ProductRecord, Progress, Refusal, open_text


def read_products(path: Path, *, progress: Progress | None = None) -> Iterator[ProductRecord | Refusal]:
    """The products of a file, and the lines that are none, in the file's order.

    Takes JSON lines (.jsonl, .ndjson, .json), CSV of the same columns, Flipkart's listings (.csv), each also as .gz, and a directory of
    the Complete Journey.

    Raises:
        ExpectedFailure: the file can't be read, or is of no such kind; some while reading.
    """
    if path.is_dir():
        return complete_journey.read(path, progress)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return listing.read_json_lines(path, progress)
    if name.endswith(".csv"):
        is_flipkart = set(_heading(path).split(",")) >= flipkart.COLUMNS
        return flipkart.read(path, progress) if is_flipkart else listing.read_csv(path, progress)
    raise ExpectedFailure(f"{path} is neither JSON lines (.jsonl), CSV (.csv), nor a directory of the Complete Journey.")


def _heading(path: Path) -> str:
    try:
        with open_text(path) as file:
            return file.readline().strip()
    except (EOFError, OSError) as error:
        raise ExpectedFailure(f"{path} cannot be read: {error}.") from None
