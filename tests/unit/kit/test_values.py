import subprocess
import sys
from pathlib import Path

import pytest

from services.kit.values import value

_ROOT = Path(__file__).parents[3]


@value
class Coin:
    currency: str
    units: int = 1


def test_a_value_is_what_its_fields_say():
    assert Coin("INR", 2) == Coin("INR", 2)
    assert Coin("INR") != Coin("INR", 2)
    assert len({Coin("INR", 2), Coin("INR", 2), Coin("EUR", 2)}) == 2
    assert repr(Coin("INR")) == "Coin(currency='INR', units=1)"


def test_a_value_has_its_fields_and_no_others():
    with pytest.raises(AttributeError):
        Coin("INR").weight = 3  # type: ignore[attr-defined]


def test_the_type_checker_refuses_to_change_a_value(tmp_path: Path):
    changing = tmp_path / "changing.py"
    changing.write_text("from services.kit.money import Money\n\nmoney = Money('INR', 1)\nmoney.minor_units = 2\n")

    checked = subprocess.run(
        [Path(sys.executable).with_name("pyright"), changing], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert f'{changing}:4:7 - error: Cannot assign to attribute "minor_units" for class "Money"' in checked.stdout
