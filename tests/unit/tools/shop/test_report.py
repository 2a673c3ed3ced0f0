import json

from tools.home import Home
from tools.shop.report import Report


def test_a_report_counts_refusals_by_kind_and_reason():
    report = Report("replay")
    report.counts["orders placed"] = 1200
    for number in range(2):
        report.refuse("line", "quantity 0", line=number)
    report.refuse("order", "OUT_OF_STOCK")

    assert report.lines() == ["1,200  orders placed", "    2  lines refused: quantity 0", "    1  orders refused: OUT_OF_STOCK"]


def test_a_report_keeps_every_refusal(tmp_path):
    report = Report("replay")
    report.refuse("line", "quantity 0", line=7, basket_id="b")
    path = report.write(Home(tmp_path))

    assert path.parent == tmp_path / "reports"
    assert json.loads(path.read_text()) == {
        "counts": {},
        "refused": {"line": {"quantity 0": 1}},
        "refusals": [{"kind": "line", "reason": "quantity 0", "line": 7, "basket_id": "b"}],
    }
