"""./bazaar demo, import, trace, events, load and profile, as a person at a shell sees them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from tests.sandbox import SandboxClient
from tests.shell import Shell
from tools.loading.run import WARM_UP
from tools.profiling.layers import LAYERS

pytestmark = [pytest.mark.edge, pytest.mark.timeout(300)]
SVG = "{http://www.w3.org/2000/svg}"
ORDER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def shell(short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "demo")
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def demo(shell: Shell) -> subprocess.CompletedProcess[str]:
    """A demonstration in a fresh home, which stays up."""
    done = shell.run("demo", "--orders", "60", timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def test_the_demo_shows_a_top_10(demo):
    table = demo.stdout.split("Top 10 of ")[1].splitlines()
    ranks = [line.split()[0] for line in table if line.split()[:1] and line.split()[0].isdigit()]

    assert ranks[:10] == [str(rank) for rank in range(1, 11)]


def test_the_demo_places_all_its_orders(demo, shell):
    assert shell.newest_report("demo")["counts"]["orders placed"] == 60
    assert shell.newest_report("demo")["refused"] == {}


@pytest.mark.parametrize("hop", ["edge", "checkout", "orders", "cart", "users", "pricing", "inventory", "payments", "ranking"])
def test_the_demo_draws_every_hop_of_a_checkout(demo, hop):
    waterfall = demo.stdout.split("One checkout:")[1]

    assert re.search(rf"^ *{hop} ", waterfall, re.MULTILINE)


def test_the_demo_says_what_to_try(demo, shell):
    assert f"http://127.0.0.1:{shell.port}/v1/queryTopProducts?category=" in demo.stdout


def test_a_trace_is_drawn_for_an_order(demo, shell):
    order_id = ORDER_ID.search(demo.stdout.split("One checkout:")[1]).group()
    done = shell.run("trace", order_id)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"order {order_id}")


def test_the_trace_of_no_order_is_a_plain_sentence(demo, shell):
    done = shell.run("trace", "nothing")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bazaar: no trace of order nothing")


def test_an_import_reports_what_is_refused(demo, shell, tmp_path):
    good = {"product_id": "imported-1", "title": "Teapot", "category_path": ["Kitchen"], "price_minor": 1999, "currency": "EUR", "stock": 7}
    bad = {**good, "product_id": "imported-2", "price_minor": -1}
    (tmp_path / "products.jsonl").write_text("\n".join(json.dumps(each) for each in (good, bad)))
    done = shell.run("import", str(tmp_path / "products.jsonl"))

    report = shell.newest_report("import")
    assert (done.returncode, report["counts"]["products created"]) == (0, 1)
    assert report["refused"] == {"product": {"PRICE_INVALID": 1}}
    assert [(refusal["line"], refusal["product_id"]) for refusal in report["refusals"]] == [(2, "imported-2")]


def test_the_same_import_again_books_no_stock_twice(demo, shell, tmp_path):
    row = {"product_id": "imported-3", "title": "Kettle", "category_path": ["Kitchen"], "price_minor": 2999, "currency": "USD", "stock": 5}
    (tmp_path / "products.jsonl").write_text(json.dumps(row))
    for _ in range(2):
        assert shell.run("import", str(tmp_path / "products.jsonl")).returncode == 0

    answer = httpx.get(f"http://127.0.0.1:{shell.port}/v1/inventory/check?sku=imported-3", trust_env=False).json()
    assert answer == {"inStock": True, "available": "5"}


def test_an_import_of_nothing_is_a_plain_sentence(demo, shell):
    done = shell.run("import", "/nowhere.csv")

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "bazaar: there is no /nowhere.csv\n")


def test_no_event_is_dead(demo, shell):
    assert shell.run("events", "dead").stdout == "There are no dead letters.\n"
    assert shell.run("events", "replay").stdout == "0 given back\n"


def test_what_is_no_dead_letter_is_not_replayed(demo, shell):
    done = shell.run("events", "replay", "x")

    assert (done.returncode, done.stderr) == (1, "bazaar: x is not the id of a dead letter; `events dead` shows them\n")


READS = ["category", "product", "top10"]
STEPS = ["cart", "item", "address", "quote", "order", "payment", "confirmation"]


@pytest.mark.parametrize(
    ("scenario", "loop", "parts"),
    [
        ("checkout", ("--rate", "5"), {}),
        ("checkout", ("--concurrency", "1"), {}),
        ("journey", ("--rate", "3"), {"steps_ms": STEPS}),
        ("journey", ("--concurrency", "2"), {"steps_ms": STEPS}),
        ("mixed", ("--rate", "28"), {"kinds_ms": ["browse", "cart", "checkout"]}),
        ("mixed", ("--concurrency", "2"), {"kinds_ms": ["browse", "cart", "checkout"]}),
        ("browse", ("--concurrency", "2"), {"kinds_ms": READS}),
        ("product", ("--rate", "50"), {"kinds_ms": ["product"]}),
        ("category", ("--rate", "50"), {"kinds_ms": ["category"]}),
        ("top10", ("--rate", "50"), {}),
    ],
)
def test_load_says_how_it_fared(demo, shell, scenario, loop, parts):
    done = shell.run("load", scenario, "--seconds", "2", *loop, "--json", timeout=200)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)

    assert (figures["failures_by_reason"], figures["violations"]) == ({}, [])
    assert figures["rate_per_second"] > 0
    assert list(figures["latency_ms"]) == ["p50", "p90", "p95", "p99", "p99.9", "max"]
    assert {name: list(figures[name]) for name in ("kinds_ms", "steps_ms") if name in figures} == parts
    assert figures["cpu_seconds"].keys() == {"postgres", "redis-1", "mongo", "sandbox", "worker-1", "worker-2", "envoy", "generator"}
    assert figures["cpu_ms_per_operation"].keys() == figures["cpu_seconds"].keys()
    assert ("visible_ms" in figures) == (scenario == "checkout")
    assert ("questions" in figures) == ("cached" in figures) == (scenario in ("browse", "product", "category", "top10"))


@pytest.fixture(scope="module")
def gateway(demo, shell: Shell) -> Iterator[SandboxClient]:
    key = (shell.home.folder("secrets") / "sandbox_key").read_text().strip()
    client = SandboxClient(f"http://{shell.process('sandbox').address}", key)
    yield client
    client.http.close()


def captured(gateway: SandboxClient) -> int:
    """How many payments were captured, and not given back."""
    return sum([entry["state"] for entry in payment["entries"]][-1:] == ["CAPTURED"] for payment in gateway.books())


def test_every_journey_adds_two_products_and_is_paid_at_the_gateway(shell, gateway):
    before = captured(gateway)
    figures = json.loads(shell.run("load", "journey", "--seconds", "1", "--rate", "4", "--json", timeout=200).stdout)

    assert {step: measured["samples"] for step, measured in figures["steps_ms"].items()} == {**dict.fromkeys(STEPS, 4), "item": 8}
    assert captured(gateway) == before + 4 + WARM_UP


def test_a_journey_whose_payment_is_declined_fails(shell, gateway):
    with gateway.switched(decline=True):
        done = shell.run("load", "journey", "--seconds", "1", "--rate", "4", timeout=200)

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"is not confirmed \(STATE_(PAYMENT_FAILED|CANCELLING|CANCELLED)\)", done.stderr)


def test_load_shows_a_table(demo, shell):
    done = shell.run("load", "browse", "--seconds", "1", "--rate", "50", timeout=200)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "invariants: hold")
    assert re.search(r"^ *the shop +[0-9.]+ +[0-9.]+ *$", done.stdout, re.MULTILINE)


def test_load_wants_one_kind_of_loop(demo, shell):
    done = shell.run("load", "top10", "--seconds", "1")

    assert (done.returncode, done.stderr) == (1, "bazaar: give either --rate (open loop) or --concurrency (closed loop)\n")


def test_a_profile_divides_what_the_workers_used(demo, shell):
    done = shell.run("profile", "top10", "--concurrency", "2", "--seconds", "3", "--json", timeout=200)
    figures = json.loads(done.stdout)

    assert (done.returncode, figures["failures"]) == (0, 0)
    assert figures["process_us"].keys() == {*figures["cpu_seconds"]} >= {"postgres", "sampler of worker-1", "sampler of worker-2"}
    for worker in ("worker-1", "worker-2"):
        assert figures["layer_us"][worker]["edge and RPC"] > 0
        assert sum(figures["layer_us"][worker].values()) == pytest.approx(figures["process_us"][worker], abs=len(LAYERS))
        assert worker in (ElementTree.parse(figures["flame_graphs"][worker]).findtext(f"{SVG}text") or "")


def test_a_profile_is_shown_as_tables(demo, shell):
    done = shell.run("profile", "journey", "--rate", "10", "--seconds", "3", timeout=200)
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]

    assert done.returncode == 0, done.stderr
    assert {"postgres", "worker-1", "envoy", "generator", "layer", "domain", "together"} <= {*rows}
    assert Path(done.stdout.splitlines()[-1].removeprefix("flame graph of worker-2: ")).exists()


def test_without_a_shop_there_is_a_plain_sentence(short_directory):
    done = Shell(short_directory / "nothing").run("replay", "/tmp")

    assert (done.returncode, done.stderr) == (1, "bazaar: Bazaar is not running here; ./bazaar up starts it\n")


def test_once_takes_everything_down(demo, shell):
    began, identities = time.monotonic(), shell.identities()
    done = shell.run("demo", "--orders", "20", "--once", timeout=200)

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 90
    assert [identity for identity in identities if identity.is_alive()] == []
