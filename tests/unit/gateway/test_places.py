import grpc

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc


async def test_what_was_made_is_answered_201_with_its_place(client, tokens):
    answer = await client.post("/v1/products", json={}, headers=tokens.make(roles=["admin"]))

    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/products/p1")


async def test_grpc_hears_of_no_http_status(edge, tokens):
    async with grpc.aio.insecure_channel(edge.address) as channel:
        call = catalog_service_pb2_grpc.CatalogServiceStub(channel).CreateProduct(
            catalog_service_pb2.CreateProductRequest(), metadata=tuple(tokens.make(roles=["admin"]).items())
        )
        await call

        assert await call.code() is grpc.StatusCode.OK
