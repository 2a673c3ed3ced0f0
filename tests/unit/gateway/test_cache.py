import asyncio
import uuid
from time import monotonic

import pytest

from tests.shop import eventually
from tests.unit.gateway.conftest import GOOD_FOR_SECONDS, LARGE_COUNT, LONG

TOP = "/v1/queryTopProducts"


@pytest.fixture
def question():
    """What nobody has asked yet."""
    return {"category": f"cached-{uuid.uuid4().hex}"}


def winner(answer):
    return answer.json()["products"][0]["productId"]


async def test_a_second_question_within_its_time_asks_no_service(client, backend, question):
    first = await client.get(TOP, params=question)
    second = await client.get(TOP, params=question)

    assert (first.status_code, second.content, backend.calls) == (200, first.content, 1)
    assert second.headers["cache-control"] == f"public, max-age={GOOD_FOR_SECONDS}"


async def test_a_question_is_asked_anew_once_its_time_is_over(client, backend, question):
    await client.get(TOP, params=question)
    backend.shown = "new"

    async def shown():
        return winner(await client.get(TOP, params=question))

    await eventually(shown, "new")


async def test_while_one_asks_anew_the_others_get_the_old_answer(client, backend, question):
    backend.shown = "old"
    await client.get(TOP, params=question)
    backend.shown = "new"
    backend.let_go.clear()
    while backend.calls == 1:
        asking = asyncio.create_task(client.get(TOP, params=question))
        while backend.calls == 1 and not asking.done():
            await asyncio.sleep(0.01)
    others = [await client.get(TOP, params=question) for _ in range(3)]
    backend.let_go.set()

    assert ([winner(answer) for answer in others], winner(await asking)) == (["old"] * 3, "new")
    assert (winner(await client.get(TOP, params=question)), backend.calls) == ("new", 2)


async def test_who_asks_anew_in_vain_is_told_and_the_others_get_the_old_answer(client, backend, question):
    backend.shown = "old"
    await client.get(TOP, params=question)
    backend.is_away = True

    async def status():
        return (await client.get(TOP, params=question)).status_code

    await eventually(status, 503)
    asked = backend.calls

    assert [winner(await client.get(TOP, params=question)) for _ in range(3)] == ["old"] * 3
    assert backend.calls == asked


async def test_what_was_asked_at_once_is_not_asked_anew_at_once(client, backend):
    questions = [{"category": f"cached-{uuid.uuid4().hex}"} for _ in range(20)]

    async def ask(question):
        return "age" not in (await client.get(TOP, params=question)).headers

    assert all(await asyncio.gather(*map(ask, questions)))
    anew = {}
    while len(anew) < len(questions):
        asked = [question["category"] for question in questions if await ask(question)]
        anew = {**dict.fromkeys(asked, monotonic()), **anew}

    assert max(anew.values()) - min(anew.values()) > 0.3


async def test_what_is_kept_takes_no_more_memory_than_it_may(client, backend):
    async def ask(name):
        return (await client.get(TOP, params={"category": f"cached-large-{name}"})).headers.get("age")

    first = uuid.uuid4().hex
    assert (await ask(first), await ask(first)) == (None, "0")
    # Half of what may be kept, twice.
    for _ in range(2 * 16 * 2**20 // (LARGE_COUNT * len(LONG)) + 1):
        await ask(uuid.uuid4().hex)

    assert await ask(first) is None


async def test_a_very_large_answer_is_not_kept(client, backend):
    for _ in range(2):
        answer = await client.get(TOP, params={"category": f"cached-large-{'x' * 200}", "limit": 100})

    assert (answer.status_code, len(answer.json()["products"]), backend.calls) == (200, 101, 2)


async def test_two_users_never_see_each_others_answer_nor_does_anybody_else(client, backend, tokens, question):
    seen = []
    ask = (("nobody", {}), ("a", tokens.make(sub="u-a")), ("b", tokens.make(sub="u-b")), ("changed", {}), ("a2", tokens.make(sub="u-a")))
    for shown, headers in ask:
        backend.shown = shown
        answer = await client.get(TOP, params=question, headers=headers)
        seen.append((winner(answer), answer.headers["cache-control"]))

    private, public = "private, no-cache", f"public, max-age={GOOD_FOR_SECONDS}"
    assert seen == [("nobody", public), ("a", private), ("b", private), ("nobody", public), ("a2", private)]


async def test_a_wrong_token_gets_nothing_from_the_cache(client, backend, question):
    await client.get(TOP, params=question)
    answer = await client.get(TOP, params=question, headers={"authorization": "Bearer nonsense"})

    assert (answer.status_code, backend.calls) == (401, 1)


async def test_a_client_cannot_have_everything_asked_anew(client, backend, question):
    await client.get(TOP, params=question)
    await client.get(TOP, params=question, headers={"cache-control": "no-cache", "pragma": "no-cache"})

    assert backend.calls == 1


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
async def test_a_copy_that_is_still_good_is_not_sent_again(client, backend, question, form):
    etag = (await client.get(TOP, params=question)).headers["etag"]
    answer = await client.get(TOP, params=question, headers={"if-none-match": form.format(etag)})

    assert (answer.status_code, answer.content, answer.headers["etag"], backend.calls) == (304, b"", etag, 1)


async def test_another_copy_is_replaced(client, question):
    answer = await client.get(TOP, params=question, headers={"if-none-match": 'W/"other"'})

    assert (answer.status_code, winner(answer)) == (200, question["category"])


async def test_a_user_whose_copy_is_still_good_is_sent_none_either(client, backend, tokens, question):
    headers = tokens.make()
    etag = (await client.get(TOP, params=question, headers=headers)).headers["etag"]
    answer = await client.get(TOP, params=question, headers={**headers, "if-none-match": etag})

    assert (answer.status_code, answer.content, backend.calls) == (304, b"", 2)


async def test_the_connection_goes_on_after_an_answer_without_a_body(client, question):
    etag = (await client.get(TOP, params=question)).headers["etag"]
    statuses = [(await client.get(TOP, params=question, headers=headers)).status_code for headers in ({"if-none-match": etag}, {}) * 2]

    assert statuses == [304, 200, 304, 200]


async def test_what_says_nothing_of_keeping_it_is_not_kept(client, backend):
    for _ in range(2):
        answer = await client.get(TOP, params={"category": "tv"})

    assert (answer.headers["cache-control"], backend.calls) == ("no-store", 2)


async def test_a_refusal_is_not_kept(client, backend, tokens):
    for _ in range(2):
        answer = await client.get("/v1/orders/0190c2a4-0000-7000-8000-000000000001", headers=tokens.make())

    assert (answer.status_code, answer.headers["cache-control"], backend.calls) == (404, "no-store", 2)


async def test_the_services_see_the_edge_as_the_caller_of_what_it_keeps(client, backend, question):
    await client.get(TOP, params=question, headers={"x-bazaar-caller": "orders", "x-bazaar-user": "eyJzdWIiOiJ1LTkifQ"})

    assert (backend.metadata["x-bazaar-caller"], "x-bazaar-user" in backend.metadata) == ("edge", False)
