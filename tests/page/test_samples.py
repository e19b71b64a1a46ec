"""The samples of the page that are others' data are what they say they are."""

import re
from pathlib import Path

from statsmodels.datasets import elnino

MODULE = Path(__file__).parents[2] / "app" / "detector" / "page" / "elnino.js"


def test_el_nino_is_that_of_statsmodels() -> None:
    first, numbers = re.fullmatch(
        r".*?FIRST_YEAR = (\d+);.*?TEMPERATURES = \[(.*?)\];\s*", MODULE.read_text(), re.DOTALL
    ).groups()
    years = elnino.load_pandas().data
    assert int(first) == years["YEAR"].iloc[0]
    temperatures = [float(each) for each in numbers.split(",") if each.strip()]
    assert temperatures == years.drop(columns="YEAR").to_numpy().ravel().tolist()
