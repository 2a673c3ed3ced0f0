import pytest

from tools import ExpectedFailure
from tools.bus import Bus, bus_of, choose, plan, planned, remember
from tools.home import Home


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_a_new_home_has_postgres_unless_another_bus_is_wanted(home):
    assert (bus_of(home), choose(home, None), choose(home, Bus.PULSAR)) == (None, Bus.POSTGRES, Bus.PULSAR)


@pytest.mark.parametrize("own", Bus)
def test_a_home_stays_with_its_own(home, own):
    remember(home, own)

    assert (choose(home, None), choose(home, own)) == (own, own)


def test_a_home_from_before_there_was_a_choice_has_postgres(home):
    (home.folder("postgres") / "data").mkdir(parents=True)

    assert bus_of(home) is Bus.POSTGRES


def test_a_home_with_its_events_in_postgres_is_not_started_with_pulsar(home):
    remember(home, Bus.POSTGRES)
    with pytest.raises(ExpectedFailure) as refused:
        choose(home, Bus.PULSAR)

    assert str(refused.value) == f"the events of {home.path} are in PostgreSQL; ./bazaar migrate-events moves them to Pulsar"
    assert bus_of(home) is Bus.POSTGRES


def test_a_home_with_its_events_in_pulsar_is_not_started_with_postgres(home):
    remember(home, Bus.PULSAR)
    with pytest.raises(ExpectedFailure) as refused:
        choose(home, Bus.POSTGRES)

    assert str(refused.value) == f"the events of {home.path} are in Pulsar, and nothing moves them back; --home names another home"


def test_a_home_that_is_to_have_another_bus_still_has_its_own(home):
    plan(home, Bus.PULSAR)
    remember(home, Bus.POSTGRES)

    assert (bus_of(home), choose(home, None), planned(home)) == (Bus.POSTGRES, Bus.POSTGRES, Bus.PULSAR)


def test_a_plan_is_over_when_it_is_given_up(home):
    plan(home, Bus.PULSAR)
    plan(home, None)

    assert planned(home) is None


def test_a_plan_is_over_when_it_has_come_true(home):
    plan(home, Bus.PULSAR)
    remember(home, Bus.PULSAR)

    assert (bus_of(home), planned(home)) == (Bus.PULSAR, None)
