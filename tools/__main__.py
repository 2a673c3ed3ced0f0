"""The command line behind ./bazaar."""

from __future__ import annotations

import sys

import typer

from tools import ExpectedFailure
from tools.commands import (
    HomeOption,
    check,
    demo,
    doctor,
    down,
    events,
    import_,
    load,
    logs,
    migrate_events,
    profile,
    replay,
    shed,
    status,
    test,
    trace,
    up,
)

app = typer.Typer(
    name="bazaar",
    help="Runs Bazaar, the backend of a large shop, on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.callback()
def bazaar(context: typer.Context, home: HomeOption = None) -> None:
    """Runs Bazaar, the backend of a large shop, on this machine."""
    context.obj = home


app.command()(up.up)
app.command()(down.down)
app.command()(status.status)
app.command()(demo.demo)
app.command("import")(import_.import_)
app.command()(replay.replay)
app.command()(load.load)
app.command()(profile.profile)
app.command()(trace.trace)
app.command()(doctor.doctor)
app.command()(shed.shed)
app.add_typer(events.app, name="events")
app.command("migrate-events")(migrate_events.migrate_events)
app.command()(logs.logs)
app.command("test", context_settings=PASS_ON)(test.run_tests)
app.command(context_settings=PASS_ON)(check.check)


def main() -> int:
    """Runs one command; what a person can put right is a plain sentence, never a traceback."""
    try:
        app(prog_name="./bazaar")
    except ExpectedFailure as failure:
        return _say(str(failure))
    except OSError as error:
        return _say(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    return 0


def _say(sentence: str) -> int:
    print(f"bazaar: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
