import asyncio
import sys
from pathlib import Path

import psycopg
import pytest

from services.kit.migrations import KIT_MIGRATIONS, MigrationError, migrate

CREATE_PENS = "CREATE TABLE pens (id bigint PRIMARY KEY);"
ADD_COLOUR = "ALTER TABLE pens ADD COLUMN colour text;"

MIGRATE_IN_A_PROCESS = """
import asyncio, sys
from pathlib import Path
from services.kit.migrations import migrate
print(",".join(asyncio.run(migrate(sys.argv[1], [("pens", Path(sys.argv[2]))]))))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_pens.sql").write_text(CREATE_PENS)
    (tmp_path / "0002_colour.sql").write_text(ADD_COLOUR)
    return tmp_path


def applied_in(url: str) -> list[tuple[str, int, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT owner, version, name FROM schema_migrations ORDER BY applied_at, version").fetchall()


async def test_files_are_applied_in_order_and_recorded(database_url: str, folder: Path):
    assert await migrate(database_url, [("pens", folder)]) == ["pens/0001_pens.sql", "pens/0002_colour.sql"]
    assert applied_in(database_url) == [("pens", 1, "pens"), ("pens", 2, "colour")]


async def test_a_second_run_applies_only_what_is_new(database_url: str, folder: Path):
    await migrate(database_url, [("pens", folder)])
    (folder / "0003_size.sql").write_text("ALTER TABLE pens ADD COLUMN size int;")

    assert await migrate(database_url, [("pens", folder)]) == ["pens/0003_size.sql"]


async def test_owners_number_their_files_each_for_itself(database_url: str, folder: Path, tmp_path: Path):
    inks = tmp_path / "inks"
    inks.mkdir()
    (inks / "0001_inks.sql").write_text("CREATE TABLE inks (pen bigint REFERENCES pens);")

    applied = await migrate(database_url, [("pens", folder), ("inks", inks)])

    assert applied == ["pens/0001_pens.sql", "pens/0002_colour.sql", "inks/0001_inks.sql"]


async def test_a_file_changed_after_it_was_applied_is_refused_in_a_plain_sentence(database_url: str, folder: Path):
    await migrate(database_url, [("pens", folder)])
    (folder / "0001_pens.sql").write_text(CREATE_PENS + " -- edited")

    with pytest.raises(MigrationError) as caught:
        await migrate(database_url, [("pens", folder)])

    name = database_url.split("@/")[1].split("?")[0]
    assert (
        str(caught.value)
        == f"pens/0001_pens.sql was changed after it was applied to {name}: restore it and put the change into a new file."
    )


async def test_a_new_file_below_the_newest_applied_one_is_refused(database_url: str, folder: Path):
    (folder / "0002_colour.sql").rename(folder / "0003_colour.sql")
    await migrate(database_url, [("pens", folder)])
    (folder / "0002_late.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"pens/0002_late\.sql is new, but .* is already at pens/0003: give it a higher number\."):
        await migrate(database_url, [("pens", folder)])


async def test_two_files_of_one_number_are_refused(database_url: str, folder: Path):
    (folder / "0002_size.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"pens/0002_colour\.sql and pens/0002_size\.sql have the same number\."):
        await migrate(database_url, [("pens", folder)])


async def test_a_badly_named_file_is_refused(database_url: str, folder: Path):
    (folder / "3-size.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"pens/3-size\.sql is not named like 0001_what_it_does\.sql\."):
        await migrate(database_url, [("pens", folder)])


async def test_a_file_that_fails_leaves_nothing_behind_and_what_came_before_it_stays(database_url: str, folder: Path):
    (folder / "0003_bad.sql").write_text("CREATE TABLE half_done (id int); SELECT 1/0;")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(database_url, [("pens", folder)])

    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('half_done'), to_regclass('pens')").fetchone() == (None, "pens")
    assert applied_in(database_url) == [("pens", 1, "pens"), ("pens", 2, "colour")]


async def test_an_older_release_runs_on_a_newer_schema(database_url: str, folder: Path):
    await migrate(database_url, [("pens", folder)])
    (folder / "0002_colour.sql").unlink()

    assert await migrate(database_url, [("pens", folder)]) == []


async def test_processes_that_migrate_at_once_apply_each_file_once(database_url: str, folder: Path):
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(0.3);")
    rivals = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE_IN_A_PROCESS, database_url, str(folder), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = sorted([(await rival.communicate())[0].decode().strip() for rival in rivals])

    assert [rival.returncode for rival in rivals] == [0, 0]
    assert outputs == ["", "pens/0001_pens.sql,pens/0002_colour.sql,pens/0003_slow.sql"]


async def test_kits_own_files_apply_to_an_empty_database(database_url: str):
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])

    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT to_regclass(name) FROM unnest(ARRAY['outbox', 'inbox', 'idempotency_keys', 'leaders']) AS name")
        assert [row[0] for row in tables] == ["outbox", "inbox", "idempotency_keys", "leaders"]
