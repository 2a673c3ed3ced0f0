"""Which traces are recorded."""

import pytest

from services.kit.telemetry import tracing
from services.kit.telemetry.sampling import BudgetSampler, RatioSampler, sampler_from
from tests.spans import recorded
from tests.unit.kit.traceparents import SAMPLED, UNSAMPLED

LOW_TRACE, HIGH_TRACE = 1, (1 << 64) - 1


def test_a_new_trace_that_links_a_recorded_span_is_recorded_whatever_the_ratio():
    with recorded(sampling="0") as spans, tracing.span("batch", parent=tracing.ROOT, links=[tracing.context_from(SAMPLED)]):
        pass

    assert spans.named("batch").name == "batch"


def test_a_new_trace_that_links_unrecorded_spans_alone_is_not_recorded():
    with recorded() as spans, tracing.span("batch", parent=tracing.ROOT, links=[tracing.context_from(UNSAMPLED)]):
        pass

    assert spans.all == []


def test_a_ratio_is_decided_by_trace_id():
    sampler = RatioSampler(0.5)

    assert (sampler(LOW_TRACE), sampler(HIGH_TRACE)) == (True, False)


def test_a_budget_records_every_trace_up_to_its_rate_and_the_ratio_beyond():
    sampler = BudgetSampler(2, 0.1, monotonic=lambda: 0.0)

    assert [sampler(HIGH_TRACE), sampler(HIGH_TRACE), sampler(HIGH_TRACE), sampler(LOW_TRACE)] == [True, True, False, True]


def test_a_budget_fills_again_with_time():
    now = [0.0]
    sampler = BudgetSampler(2, 0.0, monotonic=lambda: now[0])
    spent = [sampler(HIGH_TRACE) for _ in range(3)]
    now[0] = 0.5

    assert (spent, sampler(HIGH_TRACE), sampler(HIGH_TRACE)) == ([True, True, False], True, False)


@pytest.mark.parametrize("wrong", ["some", "1.5", "-1", "nan"])
def test_a_sampling_that_means_nothing_is_refused(wrong: str):
    with pytest.raises(ValueError, match="BAZAAR_TRACE_SAMPLING"):
        sampler_from(wrong)
