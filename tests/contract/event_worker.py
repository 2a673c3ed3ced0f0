"""A consumer process for the event bus's contract: writes to a journal shared by all workers, in which the order of lines is that of time.

    event_worker.py URL TOPIC GROUP JOURNAL BATCH_SIZE NAME [--hold KEY]

Lines: `NAME begin|end KEY VERSION`, `NAME ready`. With --hold, an event of that key is held until a line comes in. SIGTERM closes cleanly.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from services.kit.events import event_bus
from services.kit.events.port import Event, Subscription


async def main(url: str, topic: str, group: str, journal: str, batch_size: str, name: str, held_key: str | None = None) -> None:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    loop = asyncio.get_running_loop()

    def note(*lines: str) -> None:
        os.write(file, "".join(f"{name} {line}\n" for line in lines).encode())

    async def handle(events: Sequence[Event]) -> None:
        note(*(f"begin {event.key} {event.aggregate_version}" for event in events))
        if any(event.key == held_key for event in events):
            await loop.run_in_executor(None, sys.stdin.readline)
        note(*(f"end {event.key} {event.aggregate_version}" for event in events))

    bus = event_bus(url)
    await bus.open()
    consuming = asyncio.create_task(bus.consume(Subscription(topic, group, handle, batch_size=int(batch_size))))
    loop.add_signal_handler(signal.SIGTERM, consuming.cancel)
    note("ready")
    await asyncio.wait([consuming])
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(*[argument for argument in sys.argv[1:] if argument != "--hold"]))
