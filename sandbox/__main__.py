"""Runs the sandbox: `python -m sandbox [--host HOST] --port PORT --folder FOLDER --secrets FOLDER --webhooks URL`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sandbox.api import Gateway
from sandbox.books import Books
from sandbox.webhooks import SENDERS, Sender


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="sandbox")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--folder", type=Path, required=True, help="where its books are")
    parser.add_argument("--secrets", type=Path, required=True, help="holds sandbox_key (of its API) and sandbox.json (of its webhooks)")
    parser.add_argument("--webhooks", required=True, help="where the shop takes them")
    options = parser.parse_args(arguments)
    books = Books(options.folder / "books.sqlite")
    gateway = Gateway(options.port, books, (options.secrets / "sandbox_key").read_text().strip(), options.host)
    for _ in range(SENDERS):
        Sender(books, options.webhooks, options.secrets / "sandbox.json").start()
    for number in (signal.SIGTERM, signal.SIGINT):
        # `shutdown` waits for the loop that this handler interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=gateway.shutdown).start())
    gateway.serve_forever(poll_interval=0.1)
    books.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
