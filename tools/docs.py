"""What is made from the code for readers: `python -m tools.docs` writes it, `./bazaar check` tells when it is stale."""

from __future__ import annotations

from gateway.methods import service_files
from gateway.openapi.document import text as openapi
from services.kit.auth import Policy
from services.kit.settings import settings_reference
from tools import ROOT, events_page
from tools.protos import descriptors

_SETTINGS_HEAD = """# Settings

Every process reads these from its environment, once, when it starts. `./bazaar up` sets them for the processes that it starts; an
installation of its own sets them itself. This page is made from `services/kit/settings.py` by `python -m tools.docs`.

"""


def pages() -> dict[str, str]:
    """Every generated page, and the OpenAPI document, by its path."""
    policy = Policy.load(ROOT / "mesh" / "policy.yaml")
    return {
        "docs/settings.md": _SETTINGS_HEAD + settings_reference(),
        "docs/events.md": events_page.page(),
        "generated/openapi/openapi.json": openapi(service_files(), descriptors(), policy),
    }


def stale() -> str:
    """The pages that aren't what the code makes of them, or why none can be made, in a sentence; empty when all is well."""
    try:
        fresh = pages()
    except events_page.CatalogueBroken as error:
        return str(error)
    old = [path for path, text in fresh.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    return f"Run `python -m tools.docs`; stale: {', '.join(old)}" if old else ""


if __name__ == "__main__":
    for path, text in pages().items():
        (ROOT / path).write_text(text)
