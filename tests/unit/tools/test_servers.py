import os
import socket
import subprocess
import sys

import psycopg
import pymongo
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.processes import start_time
from tools.servers import Running, free_port, is_free
from tools.servers.postgres import Postgres
from tools.servers.redis import Redis


def test_postgres_is_version_18_and_reached_by_unix_socket_alone(postgres):
    with psycopg.connect(postgres.url()) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_a_fresh_database_is_empty(database_url):
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_two_fresh_databases_are_different_ones(postgres):
    assert postgres.fresh_database() != postgres.fresh_database()


def test_text_sorts_by_code_point(database_url):
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT array_agg(t ORDER BY t) FROM unnest(ARRAY['b', 'B', 'a', 'é']) t").fetchone() == (
            ["B", "a", "b", "é"],
        )


def test_redis_is_a_cluster_that_owns_every_slot(redis_url):
    with redis.RedisCluster.from_url(redis_url) as client:
        assert client.cluster_info()["cluster_slots_ok"] == "16384"


def test_redis_refuses_a_client_without_the_password(redis_url):
    with (
        redis.Redis(port=int(redis_url.rpartition(":")[2]), retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_empty_redis_has_no_keys(empty_redis_url):
    with redis.Redis.from_url(empty_redis_url) as client:
        assert client.dbsize() == 0


def test_mongo_is_a_replica_set_with_transactions(mongo_url):
    with pymongo.MongoClient(mongo_url) as client, client.start_session() as session:
        session.with_transaction(lambda s: client.transactions.things.insert_one({"_id": 1}, session=s))
        assert client.transactions.things.count_documents({}) == 1


def test_a_listening_port_is_not_free():
    port = free_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert not is_free(port)


@pytest.fixture
def own_postgres(short_directory):
    """A cluster that a test may maltreat."""
    return Postgres(short_directory / "own", short_directory / "own-sockets", {"fsync": "off"})


def test_postgres_starts_although_its_pid_file_names_another_program(own_postgres, tmp_path):
    own_postgres.prepare()
    (own_postgres.data / "postmaster.pid").write_text(f"{os.getppid()}\n{own_postgres.data}\n")
    with Running(own_postgres, tmp_path / "log"):
        assert own_postgres.ready()


def test_postgres_starts_although_nobody_has_collected_the_last_one(own_postgres, tmp_path):
    own_postgres.prepare()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    while start_time(zombie.pid) is not None:
        pass
    (own_postgres.data / "postmaster.pid").write_text(f"{zombie.pid}\n{own_postgres.data}\n")
    with Running(own_postgres, tmp_path / "log"):
        assert own_postgres.ready()
    zombie.wait()


def test_postgres_that_outlived_its_supervisor_is_replaced(own_postgres, tmp_path):
    with Running(own_postgres, tmp_path / "log"):
        old = int((own_postgres.data / "postmaster.pid").read_text().split()[0])
        with Running(own_postgres, tmp_path / "log"):
            assert int((own_postgres.data / "postmaster.pid").read_text().split()[0]) != old


def test_a_prepared_redis_drops_a_nodes_file_that_was_cut_short(tmp_path):
    server = Redis(tmp_path, "password")
    (tmp_path / "nodes.conf").write_text("07c37df 127.0.0.1:70")
    server.prepare()

    assert not (tmp_path / "nodes.conf").exists()
