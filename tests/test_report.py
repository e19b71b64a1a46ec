"""The page that shows what was found: what is in it, and that text of people stays text."""

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import detector
from detector import report
from detector.errors import DetectionError

HOSTILE = "</script><script>alert(1)</script><!-- <b>\"'&\u2028"
VALUES = [1.0, 2.0, 3.0] * 10 + [9.0, 2.0, 3.0]
PAGE = Path(report.__file__).parent / "page"


class Elements(HTMLParser):
    """The elements of a page with their attributes and the text in each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.all[-1][2].append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [
            "".join(text)
            for each, given, text in self.all
            if each == tag and attributes.items() <= given.items()
        ]


@pytest.fixture(scope="module")
def entire() -> Elements:
    found = detector.detect_entire(VALUES, period=3)
    return Elements(report.page(found, name=HOSTILE, understood=f"33 points from '{HOSTILE}'"))


def data(elements: Elements) -> Any:
    (text,) = elements.texts("script", type="application/json")
    return json.loads(text)


def test_text_of_a_person_stays_in_the_data_and_comes_back_as_it_was(entire: Elements) -> None:
    content = data(entire)
    assert content["series"]["name"] == HOSTILE
    assert content["understood"] == f"33 points from '{HOSTILE}'"
    # The data, Plotly, and the code: nothing else is a script, and none names a file.
    assert len(entire.texts("script")) == 3
    assert not [given for _, given, _ in entire.all if {"src", "onload"} & given.keys()]
    (title,) = entire.texts("title")
    assert title == HOSTILE


def test_policy_lets_nothing_run_or_load_but_what_was_written(entire: Elements) -> None:
    (policy,) = [
        given["content"] or ""
        for tag, given, _ in entire.all
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "connect-src" not in rules
    scripts = [entire.texts("script")[1], *entire.texts("script", type="module")]
    for name, texts in (("script-src", scripts), ("style-src", entire.texts("style"))):
        for text in texts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in rules[name]
    assert len(rules["script-src"].split()) == 2


def test_no_address_of_elsewhere_is_in_what_is_ours(entire: Elements) -> None:
    ours = [*entire.texts("style"), *entire.texts("script", type="module")]
    addresses = {found for text in ours for found in re.findall(r"https?://[^\s\"'`)]+", text)}
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_scripts_hold_nothing_that_ends_their_element(entire: Elements) -> None:
    for text in entire.texts("script"):
        assert not re.search(r"</script|<!--", text, re.IGNORECASE)


def test_every_module_is_bundled_with_what_it_exports(entire: Elements) -> None:
    (code,) = entire.texts("script", type="module")
    assert not re.search(r"^\s*(import|export)\b(?!\.)", code, re.MULTILINE)
    assert 'modules["chart.js"] = { draw };' in code
    assert code.index('modules["words/ja.js"] = ') < code.index('modules["report.js"] = ')


def test_words_of_both_languages_are_the_same_ones() -> None:
    text = (PAGE / "words" / "report.js").read_text()
    english, japanese = text.split("  ja: {")
    keys = [re.findall(r"^    (\w+):", part, re.MULTILINE) for part in (english, japanese)]
    assert keys[0] == keys[1]
    code = (PAGE / "report.js").read_text()
    assert set(re.findall(r"words\.(report\w+)", code)) == set(keys[0])


def test_answer_and_options_are_those_of_the_detection(entire: Elements) -> None:
    content, found = data(entire), detector.detect_entire(VALUES, period=3)
    assert content["mode"] == "entire"
    assert content["series"]["values"] == VALUES
    assert content["series"]["timestamps"] is None
    assert content["answer"]["isAnomaly"] == found.is_anomaly.tolist()
    assert content["answer"]["upperMargins"] == found.upper_margin.tolist()
    assert content["options"]["sensitivity"] == 99
    assert content["answer"]["period"] == 3


def test_latest_and_change_points_have_their_own_answers() -> None:
    last = data(Elements(report.page(detector.detect_latest(VALUES, period=3), name="a")))
    assert (last["mode"], last["answer"]["isAnomaly"]) == ("latest", False)
    steps = [0.0] * 20 + [5.0] * 20
    found = detector.detect_change_points(steps, granularity="none")
    breaks = data(Elements(report.page(found, name="a")))
    assert breaks["mode"] == "changepoint"
    assert breaks["answer"]["isChangePoint"].index(True) == 20
    assert breaks["options"] == {
        "granularity": "none",
        "customInterval": 1,
        "threshold": 0.9,
        "stableTrendWindow": 19,
    }


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (pd.date_range("2024-01-01", periods=33, freq="D"), "2024-01-01T00:00:00Z"),
        (
            pd.date_range("2024-01-01", periods=33, freq="h", tz="Asia/Tokyo"),
            "2024-01-01T00:00:00Z",
        ),
        # Over the night in which the clocks are put forward: UTC.
        (
            pd.date_range("2024-03-30 12:00", periods=33, freq="h", tz="Europe/Berlin"),
            "2024-03-30T11:00:00Z",
        ),
        (
            pd.date_range("2024-01-01 00:00:00.5", periods=33, freq="s"),
            "2024-01-01T00:00:00.500000Z",
        ),
        ([f"day {place}" for place in range(33)], None),
    ],
    ids=["days", "one offset", "two offsets", "fractions", "no dates"],
)
def test_timestamps_are_those_of_the_clock(times: Any, first: str | None) -> None:
    found = detector.detect_entire((times, VALUES), period=3)
    written = data(Elements(report.page(found, name="a")))["series"]["timestamps"]
    assert (written and written[0]) == first


def test_what_is_no_number_is_written_as_null() -> None:
    huge = np.array(VALUES) * 1e99
    found = detector.detect_entire(huge, period=3, boundary_version="V2")
    assert data(Elements(report.page(found, name="a")))["series"]["values"][0] == 1e99


def test_without_plotly_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(DetectionError, match=r"plotly is not installed: install what require"):
        report.page(detector.detect_entire(VALUES, period=3), name="a")
