"""What flow tests share: the shop judged after each of them, and the whole system behind its edge."""

from tests.judge import invariants as invariants
from tests.running import running as running
