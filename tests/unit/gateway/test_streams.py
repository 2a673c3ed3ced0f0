"""Server-sent events as they leave the edge."""

from __future__ import annotations

import json

import pytest

TOP = "/v1/queryTopProducts:watch"


@pytest.mark.parametrize("products", [0, 100])
async def test_an_event_has_an_id_however_long_it_is(client, products):
    answer = await client.get(TOP, params={"category": "tv", "limit": products})

    first, second, rest = answer.text.split("\n\n", 2)
    identity, _, data = first.partition("\n")
    event = json.loads(data.removeprefix("data: "))
    assert (identity, event["eventId"], len(event["products"])) == ("id: first", "first", products)
    assert (second.startswith("data: {"), rest.strip()) == (True, "")


async def test_what_came_last_reaches_the_service(client, backend):
    await client.get(TOP, params={"category": "tv"}, headers={"last-event-id": "first"})

    assert backend.metadata["last-event-id"] == "first"
