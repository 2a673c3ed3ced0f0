"""What every scenario can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tools.loading.measures import Measures
from tools.shop import Refused


class Scenario(Protocol):
    """Calls of one sort or of several, again and again."""

    @property
    def questions(self) -> Sequence[Any]:
        """All different ones there are; none where hardly two are the same."""
        return ()

    async def seed(self, clients: int) -> None:
        """Makes what the calls of so many clients need."""
        ...

    async def make(self) -> Any:
        """Prepares one call, untimed."""
        ...

    async def fire(self, shot: Any, measures: Measures) -> str:
        """Makes the call.

        Args:
            measures: where its steps are noted, if it has several.

        Returns:
            its kind; empty where there is only one.

        Raises:
            Refused: it failed, or its answer isn't what it must be.
        """
        ...


def wrong(reason: str, text: str) -> Refused:
    """What is raised about an answer that came and isn't right."""
    return Refused(200, 0, reason, text)
