"""./bazaar events"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from psycopg import OperationalError

from services.kit.errors import Unavailable
from services.kit.events import EventBus, event_bus
from services.kit.events.port import REPLAY_AGE, ReplayTooOld
from tools import ExpectedFailure
from tools.bus import events_url
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.shop import edge_of

T = TypeVar("T")

app = typer.Typer(help="Events that a group of consumers gave up on, or is to have again.", no_args_is_help=True, rich_markup_mode=None)
GroupOption = Annotated[str | None, typer.Option("--group", metavar="NAME", help="Only what this group gave up on.")]


@app.command()
def dead(context: typer.Context, group: GroupOption = None, home: HomeOption = None) -> None:
    """Lists dead letters, the oldest first."""
    letters = asyncio.run(_on_bus(home_of(context, home), lambda bus: bus.dead_letters(group)))
    for letter in letters:
        died = f"{letter.died_at:%Y-%m-%d %H:%M:%S}"
        print(
            f"{letter.id}  {died}  {letter.group}  {letter.event.type} {letter.event.subject}  {letter.attempts} attempts: {letter.error}"
        )
    if not letters:
        print("There are no dead letters.")


@app.command()
def replay(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(help="As `events dead` shows them; all when left out.")] = None,
    group: GroupOption = None,
    force: Annotated[
        bool, typer.Option("--force", help=f"Also events of over {REPLAY_AGE.days} days ago, which may be worked twice.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Gives dead letters back to their groups."""
    if strangers := [id for id in ids or () if not id.replace(":", "").isdigit()]:
        raise ExpectedFailure(f"{strangers[0]} is not the id of a dead letter; `events dead` shows them")
    try:
        count = asyncio.run(_on_bus(home_of(context, home), lambda bus: bus.replay(ids or None, group=group, force=force)))
    except ReplayTooOld as error:
        raise ExpectedFailure(f"{error} --force replays them all the same.") from None
    print(f"{count} given back")


@app.command()
def rewind(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="As docs/events.md names it.")],
    group: Annotated[str, typer.Argument(help="The group that is to have its events again.")],
    to: Annotated[datetime, typer.Argument(help="From which publication on, in UTC.", formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"])],
    home: HomeOption = None,
) -> None:
    """Gives a group all events of a topic again from a time on; what it has done already it knows by their ids."""
    try:
        asyncio.run(_on_bus(home_of(context, home), lambda bus: bus.rewind(topic, group, to.replace(tzinfo=UTC))))
    except ReplayTooOld as error:
        raise ExpectedFailure(str(error)) from None
    print(f"{group} works {topic} again from {to:%Y-%m-%d %H:%M:%S} UTC on")


async def _on_bus(home: Home, work: Callable[[EventBus], Awaitable[T]]) -> T:
    edge_of(home)
    bus = event_bus(events_url(home))
    try:
        await bus.open()
        return await work(bus)
    except (OperationalError, Unavailable) as error:
        raise ExpectedFailure(f"the event bus cannot be reached: {error}") from None
    finally:
        await bus.close()
