import re
from xml.etree import ElementTree

from tools.profiling.flames import Node, flame_graph, tree_of

STACKS = [(("main", "<lambda> (services/orders/model.py)"), 3), (("main", "wait (psycopg/waiting.py)"), 1)]
SVG = "{http://www.w3.org/2000/svg}"


def test_stacks_with_the_same_beginning_share_it():
    assert tree_of(STACKS) == Node(
        4, {"main": Node(4, {"<lambda> (services/orders/model.py)": Node(3), "wait (psycopg/waiting.py)": Node(1)})}
    )


def test_a_frame_is_as_wide_as_it_was_seen_often_below_its_caller_and_says_so():
    boxes = ElementTree.fromstring(flame_graph("worker-1", STACKS)).findall(f"{SVG}g")

    assert [(box.findtext(f"{SVG}title"), *(box.find(f"{SVG}rect").get(name) for name in ("x", "y", "width"))) for box in boxes] == [  # type: ignore[union-attr]
        ("main: 4 samples, 100.0 %", "0.0", "34", "1800.0"),
        ("<lambda> (services/orders/model.py): 3 samples, 75.0 %", "0.0", "51", "1350.0"),
        ("wait (psycopg/waiting.py): 1 samples, 25.0 %", "1350.0", "51", "450.0"),
    ]


def test_what_is_too_narrow_to_be_seen_is_left_out():
    drawn = flame_graph("worker-1", [(("main", "often"), 99_999), (("main", "once"), 1)])

    assert re.findall(r"<title>(\w+):", drawn) == ["main", "often"]


def test_nothing_seen_is_an_empty_graph():
    assert ElementTree.fromstring(flame_graph("worker-1", [])).findall(f"{SVG}g") == []
