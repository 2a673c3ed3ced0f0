"""A shop at rest is a modest guest of its PostgreSQL."""

from __future__ import annotations

import psycopg

from tests.flow.edge.client import Edge
from tests.running import RunningBazaar
from tools.stack import WORKERS, databases

_COUNT = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
_A_SERVICE = 4
"""Three in its pool, and one on which it leads or waits to."""
_THE_BUS = 6
"""Two that publish, three that consume, one that listens."""


def test_a_shop_keeps_within_its_connections(running: RunningBazaar, edge: Edge):
    with psycopg.connect(running.servers.database("users"), autocommit=True) as connection:
        [used] = connection.execute(_COUNT).fetchone() or [0]
        [most] = connection.execute("SELECT current_setting('max_connections')::int").fetchone() or [0]

    allowed = WORKERS * (_A_SERVICE * (len(databases()) - 1) + _THE_BUS)
    assert 0 < used <= allowed
    assert allowed * 2 <= most, "there is no room for another such machine's"
