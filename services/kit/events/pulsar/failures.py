"""What Pulsar's client says when it fails, in the bus's own terms."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pulsar import Result
from pulsar.asyncio import PulsarException

from services.kit.errors import Unavailable
from services.kit.events.port import UndeclaredTopic

_FORBIDDEN = (Result.AuthorizationError, Result.AuthenticationError)


class Forbidden(PermissionError):
    """This process's role may not do that."""


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Turns the client's exceptions into the port's.

    Args:
        doing: what failed, for the message: `publishing to orders`.

    Raises:
        UndeclaredTopic: there is no such topic.
        Forbidden: the role lacks a grant. (A credential that is wrong altogether shows as Unavailable: the client only times out.)
        Unavailable: anything else. It is the cluster's state and not the events' fault, be it a broker that is away or a quota.
    """
    try:
        yield
    except PulsarException as error:
        result = error.error()
        if result == Result.TopicNotFound:
            raise UndeclaredTopic(f"{doing}: nobody declared that topic") from None
        if result in _FORBIDDEN:
            raise Forbidden(f"{doing}: {result.name}") from None
        raise Unavailable(f"{doing}: Pulsar answers {result.name}") from error
