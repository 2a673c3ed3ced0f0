"""What customers do at the payment gateway."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from tools.shop.client import Refused, exchange
from tools.shop.http import Connections

_FORM = b"content-type: application/x-www-form-urlencoded\r\n"


class Bank:
    """Customers on the pages that payment links lead to."""

    def __init__(self, *, connections: int = 64) -> None:
        self._most = connections
        self._gateways: dict[str, Connections] = {}
        """By scheme, host and port."""

    async def pay(self, link: str) -> None:
        """Presses Pay.

        Raises:
            Refused: the gateway doesn't take the payment, or doesn't answer.
        """
        parts = urlsplit(link)
        url = f"{parts.scheme}://{parts.netloc}"
        if url not in self._gateways:
            self._gateways[url] = Connections(url, self._most)
        answer = await exchange(self._gateways[url], url, "POST", parts.path, _FORM, b"outcome=pay")
        if answer.status != HTTPStatus.SEE_OTHER:
            raise Refused(answer.status, 0, f"PAYMENT_HTTP_{answer.status}", "the gateway doesn't take the payment")

    def close(self) -> None:
        """Closes the connections."""
        for connections in self._gateways.values():
            connections.close()
