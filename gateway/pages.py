"""The files that the edge answers with by itself: the OpenAPI document, and a page that shows it and tries it out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OPENAPI = ROOT / "generated" / "openapi" / "openapi.json"
OWN = ROOT / "gateway" / "docs"
VIEWER = "drf-spectacular-sidecar"
"""The distribution that carries Swagger UI's files."""

MOST_BYTES = 4 * 2**20
"""A route configuration's `max_direct_response_body_size_bytes`."""

KEPT_SECONDS = 300

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}

CONTENT = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What a browser may do with the page: nothing from elsewhere, nothing inline."""


@dataclass(frozen=True)
class Page:
    """A file at a path."""

    path: str
    file: Path

    @property
    def etag(self) -> str:
        """Weak, since the body may be compressed on its way."""
        return f'W/"{hashlib.blake2b(self.file.read_bytes(), digest_size=12).hexdigest()}"'


def pages() -> list[Page]:
    """Every page.

    Raises:
        PackageNotFoundError: the viewer isn't installed (requirements-docs.txt).
    """
    viewer = Path(str(distribution(VIEWER).locate_file("drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist")))
    return [
        Page("/openapi.json", OPENAPI),
        Page("/docs", OWN / "index.html"),
        Page("/docs/start.js", OWN / "start.js"),
        Page("/docs/swagger-ui.css", viewer / "swagger-ui.css"),
        Page("/docs/swagger-ui-bundle.js", viewer / "swagger-ui-bundle.js"),
        Page("/docs/favicon.png", viewer / "favicon-32x32.png"),
    ]


def page_routes(page: Page) -> list[dict[str, Any]]:
    """304 for a client that has it already, else the file."""
    verb = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    # If-None-Match compares weakly: what stands between the quotes.
    known = {"name": "if-none-match", "string_match": {"contains": page.etag.removeprefix("W/")}}
    headers = {"etag": page.etag, "cache-control": f"public, max-age={KEPT_SECONDS}", **CONTENT}
    typed = {"content-type": TYPES[page.file.suffix], **headers}
    return [
        _route(page.path, [verb, known], {"status": 304}, headers),
        _route(page.path, [verb], {"status": 200, "body": {"filename": str(page.file)}}, typed),
    ]


def _route(path: str, matching: list[dict[str, Any]], reply: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    added = [{"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in headers.items()]
    off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {
        "match": {"path": path, "headers": matching},
        "direct_response": reply,
        "response_headers_to_add": added,
        # Envoy thinks that every 3xx leads somewhere.
        "response_headers_to_remove": ["location"],
        "typed_per_filter_config": {"envoy.filters.http.grpc_json_transcoder": off},
    }
