"""The view of many variables: a table, its training, and what the model detects."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Page
from selenium.webdriver import ActionChains
from services import MINUTES, WINDOW, Service, minute, table, training, until

MODELS = "/anomalydetector/v1.1/multivariate/models"
RESULTS = "/anomalydetector/v1.1/multivariate/detect-batch"


# Names that are HTML, and that a CSV must quote.
NAMES = ("<b>pressure</b>", "<img src=x onerror=alert(1)>", 'torque, "the <a href=//x>one</a>"')


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a file with the machine that other tests train on, too."""
    path = tmp_path / "machine.csv"
    path.write_text(table())
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a file with the same machine, whose names must stay text."""
    path = tmp_path / "<i>machine.csv"
    with path.open("w", newline="") as file:
        rows = csv.reader(table().splitlines())
        next(rows)
        csv.writer(file).writerows([["timestamp", *NAMES], *rows])
    return path


@pytest.fixture
def long_training(service: Service) -> Iterator[str]:
    """Begin a training that takes a while; return the id of its model."""
    rows = [
        f"2026-01-{1 + at // 1440:02}T{at // 60 % 24:02}:{at % 60:02}:00Z" for at in range(8000)
    ]
    lines = [f"{time},{math.sin(at / 9)},{math.cos(at / 9)}" for at, time in enumerate(rows)]
    body = "\n".join(["timestamp,a,b", *lines]).encode()
    source = service.call("/datasets/long", body, method="PUT").json["dataSource"]
    asked = {"dataSource": source, "startTime": rows[0], "endTime": rows[-1], "slidingWindow": 200}
    model_id = service.call(MODELS, asked).json["modelId"]
    yield model_id
    service.call(f"{MODELS}/{model_id}", method="DELETE")


@pytest.fixture(scope="module")
def ready(service: Service) -> str:
    """Return the id of a model that is READY: one of those that a test has trained, or another."""

    def found() -> str | None:
        listed = service.call(f"{MODELS}?top=50").json["models"]
        ids = (each["modelId"] for each in listed if each["modelInfo"]["status"] == "READY")
        return next(ids, None)

    if not found():
        service.call(MODELS, training())
    return str(until(found, "a model is READY", 90))


def drawn(page: Page, chart: str) -> str:
    """Return the texts of a chart once it is drawn."""
    page.until(lambda: page.all(f"{chart}[data-drawn]"), f"{chart} is drawn")
    return str(page.js(f"return document.querySelector('{chart}').textContent"))


def train(page: Page, path: Path) -> str:
    """Train on a file with a small window; return the id of the model once it can detect."""
    page.open("#variables").file("#var-file", path)
    drawn(page, "#var-chart")
    page.type("#var-window", str(WINDOW))
    page.click("#var-train")
    worked(page, "#var-detect")
    return page.text("#var-model-id")


def worked(page: Page, selector: str) -> None:
    """Wait for what a worker does: on a machine that is busy, its process begins late."""
    page.until(
        lambda: any(each.is_displayed() for each in page.all(selector)),
        f"{selector} is shown",
        90,
        pause=0.3,
    )


def address(page: Page) -> str:
    return str(page.js("return location.hash"))


def test_a_file_is_trained_on_and_shows_who_is_behind_each_anomaly_whatever_it_is_called(
    page: Page, service: Service, hostile: Path
) -> None:
    model_id = train(page, hostile)
    assert "300 rows of 3 variables" in page.text("#var-description")
    assert page.all("#var-epochs tr[data-epoch='10']")
    page.says("#var-status", "Trained")

    page.click("#var-detect")
    worked(page, "#var-summary")

    summary = page.text("#var-summary")
    asked = re.search(r"result=([0-9a-f-]+)", address(page))
    assert asked
    results = service.call(f"{RESULTS}/{asked[1]}").json["results"]
    anomalies = [each for each in results if each["value"]["isAnomaly"]]
    worst = max(anomalies, key=lambda each: each["value"]["severity"])
    who = [each["variable"] for each in worst["value"]["interpretation"]]
    assert summary.startswith(f"{len(anomalies)} of 75 rows are anomalies")
    assert f"{worst['timestamp'][11:16]}, and {who[0]} contributes most" in summary
    assert all(name in drawn(page, "#var-found-chart") for name in (*NAMES, "Severity"))
    assert len(page.all("#var-rows tr")) == len(anomalies)

    # The most severe comes first.
    assert page.text("#var-rows button") == worst["timestamp"][:16].replace("T", " ")
    page.click("#var-rows button")
    assert [each.text for each in page.all(".var-detail .name")] == who

    page.click("#var-csv")
    with page.downloaded("anomalies*.csv").open() as saved:
        rows = list(csv.DictReader(saved))
    assert [row["timestamp"] for row in rows] == [minute(at) for at in range(225, MINUTES)]
    flagged = [row for row in rows if row["isAnomaly"] == "true"]
    assert [float(row["severity"]) for row in flagged] == [
        each["value"]["severity"] for each in anomalies
    ]
    assert float(flagged[0][f"contribution of {NAMES[0]}"]) in [
        each["contributionScore"] for each in anomalies[0]["value"]["interpretation"]
    ]

    # Who opens the address sees the same; the tab still has the table.
    assert model_id in address(page)
    page.open(address(page))
    page.until(
        lambda: page.all("#var-summary") and page.text("#var-summary") == summary, "the same"
    )
    assert all(name in drawn(page, "#var-found-chart") for name in NAMES)
    assert not page.all("#view-variables :is(img, b, i, [href*=x])")


def test_some_variables_are_trained_on_in_a_span_and_other_data_meets_the_model(
    page: Page, service: Service, machine: Path
) -> None:
    page.open("#variables").file("#var-file", machine)
    page.click("#var-form input[value=torque]")
    page.type("#var-window", str(WINDOW))
    page.js(
        "const to = document.querySelector('#var-train-to'); to.value = '2026-01-01T03:19:00';"
        "to.dispatchEvent(new Event('change'));"
    )
    page.says("#var-form", "2 variables, 200 rows")
    page.click("#var-form summary")
    page.choose("#var-fill", "Fixed")
    page.type("#var-padding", "1.5")
    page.click("#var-train")
    worked(page, "#var-detect")
    model_id = page.text("#var-model-id")

    info = service.call(f"{MODELS}/{model_id}").json["modelInfo"]
    states = info["diagnosticsInfo"]["variableStates"]
    assert sorted(state["variable"] for state in states) == ["pressure", "speed"]
    assert (info["startTime"], info["endTime"]) == (minute(0), minute(199))
    assert info["alignPolicy"] == {
        "alignMode": "Outer",
        "fillNAMethod": "Fixed",
        "paddingValue": 1.5,
    }

    # A table without them does not take the model along; one with them does.
    page.click("#var-sample")
    page.says("#var-description", "A pump")
    page.file("#var-file", machine)
    page.choose("#var-existing", model_id)
    page.click("#var-use")
    page.click("#var-detect")
    worked(page, "#var-summary")
    assert "of 100 rows" in page.text("#var-summary")


def test_each_epoch_has_a_line_and_one_may_leave_and_come_back(
    page: Page, long_training: str
) -> None:
    page.open(f"#variables?model={long_training}")
    worked(page, "#var-epochs tr[data-epoch='2']")
    assert page.all("#var-epochs tr[data-epoch='1']")
    assert re.match(r"Epoch \d+ of 10, about \d+ (s|min) left", page.text("#var-status"))
    drawn(page, "#var-losses")

    page.click("[data-view=models]")
    row = f"#models-rows [data-model='{long_training}']"
    assert page.find(row).get_attribute("data-status") == "RUNNING"
    page.click("[data-view=variables]")
    page.until(lambda: long_training in address(page), "the address names it again")
    worked(page, "#var-epochs tr[data-epoch='3']")

    page.click("#var-delete")
    page.click("#confirm-yes")
    page.until(lambda: "model=" not in address(page), "the address names it no more")
    assert not page.find("#view-variables").find_elements("id", "var-model")[0].is_displayed()


def test_a_training_that_fails_says_why(page: Page, tmp_path: Path) -> None:
    lines = [f"{minute(at)},{math.sin(at)},{'' if at < 200 else at}" for at in range(240)]
    path = tmp_path / "late.csv"
    path.write_text("\n".join(["timestamp,early,late", *lines]))
    page.open("#variables").file("#var-file", path)
    page.type("#var-window", "300")
    page.click("#var-train")
    page.says("#var-train-error", "180 rows are too few for a sliding window of 300")
    page.type("#var-window", str(WINDOW))
    page.click("#var-form summary")
    page.choose("#var-align", "Inner")
    page.click("#var-train")
    worked(page, "#var-progress-error")
    assert "The training failed" in page.text("#var-status")
    assert "after alignment no row is left" in page.text("#var-progress-error")


def test_what_is_no_table_is_refused_in_a_sentence(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    path = tmp_path / "notes.csv"
    path.write_text("Remember the milk.\n")
    page.open("#variables").file("#var-file", path)
    assert page.text("#var-input-error")
    assert not page.all("#var-chart .main-svg")


def test_dragging_over_the_charts_chooses_what_is_trained_on(page: Page) -> None:
    page.open("#variables")
    page.click("#var-sample")
    page.says("#var-form", "5 variables, 2,250 rows")
    drawn(page, "#var-chart")
    drag = ActionChains(page.driver).move_to_element_with_offset(page.find("#var-chart"), -200, 0)
    drag.click_and_hold().move_by_offset(100, 3).move_by_offset(100, 3).release().perform()
    page.until(lambda: "2,250" not in page.text("#var-form"), "another span is chosen")
    # The address holds the sample and the span.
    chosen = page.js("return document.querySelector('#var-train-from').value")
    page.until(lambda: chosen[:13] in address(page), "the address has the span")
    page.open(address(page))
    assert (
        page.until(
            lambda: page.js("return document.querySelector('#var-train-from')?.value"), "restored"
        )
        == chosen
    )


def test_everybody_can_use_it(page: Page, axe: Callable[[Page], list[str]], ready: str) -> None:
    page.open(f"#variables?sample=pump&model={ready}")
    page.click("#var-detect")
    worked(page, "#var-summary")
    page.click("#var-rows button")
    page.text(".var-detail")
    for change in (lambda: None, page.narrow, page.dark):
        change()
        assert axe(page) == []
        assert page.js("return document.documentElement.scrollWidth <= innerWidth")


def test_it_speaks_japanese(page: Page) -> None:
    page.language("ja-JP", "ja")
    page.open("#variables")
    page.click("#var-sample")
    assert "変数" in page.text("#var-form")
    words = json.loads(
        page.js(
            "const [en, ja] = await Promise.all(['en', 'ja'].map((name) => import("
            "new URL(`words/${name}.js`, document.querySelector('script[type=module]').src))));"
            "return JSON.stringify([en.words, ja.words]);"
        )
    )
    own: list[Any] = [
        {name: text for name, text in each.items() if re.match("(var|mod)[A-Z]", name)}
        for each in words
    ]
    english, japanese = own
    assert english.keys() == japanese.keys()
    assert len(english) > 100
    filled = [
        {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in each.items()} for each in own
    ]
    assert filled[0] == filled[1]
