import pytest

from tools.profiling.layers import layer_of, layer_of_frame

MAIN = ("MainThread", "main (services/__main__.py)", "Runner.run (asyncio/runners.py)")


@pytest.mark.parametrize(
    ("place", "layer"),
    [
        ("services/kit/rpc/pipeline.py", "edge and RPC"),
        ("services/kit/auth.py", "edge and RPC"),
        ("grpc/aio/_call.py", "edge and RPC"),
        ("grpc_status/rpc_status.py", "edge and RPC"),
        ("services/kit/rpc/validation.py", "validation"),
        ("protovalidate/validator.py", "validation"),
        ("protobuf/_message.py", "validation"),
        ("google/protobuf/internal/well_known_types.py", "protobuf and wire"),
        ("generated/python/bazaar/orders/v1/orders_pb2.py", "protobuf and wire"),
        ("services/orders/wire.py", "protobuf and wire"),
        ("services/kit/telemetry/spans.py", "telemetry"),
        ("opentelemetry/trace/__init__.py", "telemetry"),
        ("services/orders/model.py", "domain"),
        ("services/checkout/saga.py", "domain"),
        ("services/payments/gateways/sandbox.py", "domain"),
        ("services/kit/roundtrips.py", "PostgreSQL client"),
        ("services/kit/database.py", "PostgreSQL client"),
        ("services/kit/statements.py", "PostgreSQL client"),
        ("services/kit/arrays.py", "PostgreSQL client"),
        ("psycopg/waiting.py", "PostgreSQL client"),
        ("psycopg_pool/pool_async.py", "PostgreSQL client"),
        ("services/kit/mongo.py", "MongoDB client"),
        ("pymongo/network_layer.py", "MongoDB client"),
        ("bson/__init__.py", "MongoDB client"),
        ("services/kit/redis.py", "Redis client"),
        ("redis/asyncio/connection.py", "Redis client"),
        ("services/kit/events/consumer.py", "bus and relay"),
        ("services/kit/relay.py", "bus and relay"),
        ("services/kit/outbox.py", "bus and relay"),
        ("services/kit/change_stream.py", "bus and relay"),
        ("services/kit/batching.py", "batching"),
        ("services/kit/supervision.py", None),
        ("services/__main__.py", None),
        ("asyncio/streams.py", None),
        ("contextlib.py", None),
    ],
)
def test_a_place_has_a_layer(place, layer):
    assert layer_of_frame(f"Some.<locals>.function ({place})") == layer


def test_what_a_store_calls_in_psycopg_is_postgresqls():
    assert layer_of((*MAIN, "OrderStore.due (services/orders/store.py)", "wait_async (psycopg/waiting.py)")) == "PostgreSQL client"


def test_what_psycopg_calls_in_the_standard_library_is_postgresqls():
    assert layer_of((*MAIN, "wait_async (psycopg/waiting.py)", "timeout (asyncio/timeouts.py)", "next (<string>)")) == "PostgreSQL client"


def test_the_rules_that_a_call_applies_are_the_domains():
    assert layer_of((*MAIN, "Method.serve (services/kit/rpc/pipeline.py)", "allocate (services/inventory/model.py)")) == "domain"


def test_the_loop_between_callbacks_is_the_loops():
    assert layer_of(MAIN) == "event loop and kernel"


def test_what_no_layer_called_is_other():
    assert layer_of((*MAIN, "keep_running (services/kit/supervision.py)")) == "other"


def test_the_thread_that_polls_for_grpc_is_rpcs():
    assert layer_of(("Thread-1 (_poll_wrapper)", "Thread.run (threading.py)")) == "edge and RPC"
