import pytest

ORDER = "/v1/orders/0190c2a4-0000-7000-8000-000000000001"
ACCEPT = {"accept": "application/problem+json, application/json"}


@pytest.mark.parametrize(
    ("verb", "path", "has_token", "status", "title", "reason"),
    [
        ("GET", ORDER, True, 404, "Not Found", "ORDER_NOT_FOUND"),
        ("GET", ORDER, False, 401, "Unauthorized", "UNAUTHENTICATED"),
        ("GET", "/v1/nothing", False, 404, "Not Found", "METHOD_NOT_FOUND"),
        ("GET", "/v1/queryTopProducts?categorie=tv", False, 400, "Bad Request", "VALIDATION_FAILED"),
    ],
)
async def test_an_error_is_a_problem_to_who_accepts_it(client, tokens, verb, path, has_token, status, title, reason):
    headers = tokens.make() if has_token else {}
    plain = (await client.request(verb, path, headers=headers)).json()
    answer = await client.request(verb, path, headers={**headers, **ACCEPT})

    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert problem == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": plain["message"],
        "code": plain["code"],
        "details": plain["details"],
    }
    assert problem["details"][0]["reason"] == reason


async def test_what_is_no_error_stays_as_it_is(client):
    answer = await client.get("/v1/queryTopProducts", params={"category": "tv"}, headers=ACCEPT)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_other_clients_get_the_error_itself(client):
    answer = await client.get(ORDER)

    assert (answer.headers["content-type"], sorted(answer.json())) == ("application/json", ["code", "details", "message"])
