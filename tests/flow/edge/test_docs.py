"""The page for developers, and the document that it shows."""

from __future__ import annotations

import json
import re

import pytest

from gateway.pages import OPENAPI, pages
from tests.flow.edge.client import Edge

pytestmark = pytest.mark.edge
TYPES = {
    "/openapi.json": "application/json",
    "/docs": "text/html; charset=utf-8",
    "/docs/start.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/favicon.png": "image/png",
}


def test_the_document_is_the_checked_one(edge: Edge):
    assert edge.http.get("/openapi.json").json() == json.loads(OPENAPI.read_text())


@pytest.mark.parametrize("path", TYPES)
def test_a_file_comes_whole_and_as_what_it_is(edge: Edge, path: str):
    answer = edge.http.get(path)
    [page] = [page for page in pages() if page.path == path]

    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPES[path])
    assert answer.content == page.file.read_bytes()


def test_the_page_names_nothing_but_files_of_the_edge(edge: Edge):
    text = edge.http.get("/docs").text + edge.http.get("/docs/start.js").text
    named = re.findall(r'(?:href|src)="([^"]+)"|url: "([^"]+)"', text)

    assert {one or other for one, other in named} == TYPES.keys() - {"/docs"}
    assert "//" not in re.sub(r"^ *// .*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", TYPES)
def test_a_browser_may_load_nothing_from_elsewhere(edge: Edge, path: str):
    headers = edge.http.get(path).headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))

    assert rules.pop("default-src") == rules.pop("frame-ancestors") == "'none'"
    assert set(rules.values()) == {"'self'", "'self' data:", "'none'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
@pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"])
def test_a_long_file_is_compressed(edge: Edge, path: str, encoding: str):
    with edge.http.stream("GET", path, headers={"accept-encoding": encoding}) as answer:
        assert answer.headers["content-encoding"] == encoding


@pytest.mark.parametrize("path", TYPES)
def test_a_file_that_is_known_is_not_sent_again(edge: Edge, path: str):
    first = edge.http.get(path)
    again = edge.http.get(path, headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "public, max-age=300"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "location" not in again.headers


def test_only_reading_is_possible(edge: Edge):
    assert edge.call("POST", "/docs", {}).status_code == 404


def test_what_the_page_would_send_is_answered(edge: Edge):
    """The page takes the first server and the paths as they stand, with the token that was entered."""
    document = edge.http.get("/openapi.json").json()
    path = document["servers"][0]["url"] + "/users/{userId}".replace("{userId}", edge.customer().user_id)

    assert document["paths"]["/users/{userId}"]["get"]["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert edge.ok("GET", path, user=edge.admin)["user"]["firstName"] == "Asha"
