from tests.spread import unit_of


def test_a_files_tests_go_to_one_worker():
    assert unit_of("tests/unit/kit/test_ids.py::test_a") == unit_of("tests/unit/kit/test_ids.py::Ids::test_b[x::y]")
    assert unit_of("tests/unit/kit/test_ids.py::test_a") != unit_of("tests/unit/kit/test_money.py::test_a")


def test_what_shares_the_running_system_goes_to_one_worker():
    assert unit_of("tests/flow/edge/test_grpc.py::test_a") == unit_of("tests/flow/test_readme.py::test_a")
    assert unit_of("tests/flow/edge/test_grpc.py::test_a") != unit_of("tests/flow/test_demo.py::test_a")
