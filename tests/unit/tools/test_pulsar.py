"""The broker itself: whom it lets in, and what it keeps."""

import pytest

pytestmark = pytest.mark.pulsar


def test_the_namespace_is_there(pulsar):
    assert pulsar.server.ready()
