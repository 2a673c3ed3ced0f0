"""gRPC and gRPC-Web on the port that serves REST."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bazaar.orders.v1 import orders_service_pb2, orders_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from tests.serving import GRPC_TOLERANCE


async def test_grpc_is_served_on_the_same_port(edge):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = ranking_service_pb2_grpc.RankingServiceStub(channel)
        answer = await stub.QueryTopProducts(ranking_service_pb2.QueryTopProductsRequest(category="tv"))

    assert answer.products[0].product_id == "tv"


async def test_a_client_may_name_its_own_deadline(edge, backend):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = ranking_service_pb2_grpc.RankingServiceStub(channel)
        await stub.QueryTopProducts(ranking_service_pb2.QueryTopProductsRequest(category="tv"), timeout=3 / GRPC_TOLERANCE)

    assert 2 < backend.remaining <= 3


async def test_grpc_errors_keep_their_details(edge, tokens):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetOrder(orders_service_pb2.GetOrderRequest(), metadata=tuple(tokens.make().items()))

    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "ORDER_NOT_FOUND"


async def test_grpc_wants_a_token_as_well_and_says_so_in_words(edge, backend):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetOrder(orders_service_pb2.GetOrderRequest())

    assert (caught.value.code(), caught.value.details(), backend.calls) == (grpc.StatusCode.UNAUTHENTICATED, "Jwt is missing", 0)


async def test_an_internal_method_is_denied_to_grpc_clients(edge, tokens):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ConfirmOrder(orders_service_pb2.ConfirmOrderRequest(), metadata=tuple(tokens.make().items()))

    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_an_internal_method_has_no_rest_form(client, tokens):
    answer = await client.post("/bazaar.orders.v1.OrdersService/ConfirmOrder", json={}, headers=tokens.make())

    assert answer.status_code == 404


async def test_a_grpc_path_is_not_for_json(client, backend, tokens):
    answer = await client.post("/bazaar.ranking.v1.RankingService/QueryTopProducts", json={}, headers=tokens.make())

    assert (answer.status_code, backend.calls) == (404, 0)


async def test_grpc_web_is_served_on_the_same_port(client):
    message = ranking_service_pb2.QueryTopProductsRequest(category="tv").SerializeToString()
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await client.post("/bazaar.ranking.v1.RankingService/QueryTopProducts", content=frame, headers=headers)

    length = int.from_bytes(answer.content[1:5], "big")
    product = ranking_service_pb2.QueryTopProductsResponse.FromString(answer.content[5 : 5 + length]).products[0]
    assert (answer.headers["content-type"], product.product_id) == ("application/grpc-web+proto", "tv")
    assert b"grpc-status:0" in answer.content[5 + length :]
