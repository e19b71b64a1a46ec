"""The view of models: which versions answer for one series, and the models of many variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chromium import Page
from mlflow import MlflowClient
from services import KEYS, Service, training, until

ENTIRE = "univariate-entire"
HOSTILE = "<img src=x onerror=alert(1)>" * 9
# What is wider than the card that it is in.
STICK_OUT = """
    const right = (each) => each.getBoundingClientRect().right;
    return [...document.querySelectorAll("#models-series .card *")]
        .filter((each) => right(each) > right(each.closest(".card")))
        .map((each) => each.textContent);
"""
MODELS = "/anomalydetector/v1.1/multivariate/models"


@pytest.fixture(scope="module")
def trained(service: Service) -> Iterator[str]:
    """Return the id of a model whose name looks like HTML."""
    model_id: str = service.call(MODELS, training(displayName="<b>machine</b>")).json["modelId"]

    def status() -> str:
        told: str = service.call(f"{MODELS}/{model_id}").json["modelInfo"]["status"]
        return told

    until(lambda: status() == "READY", "READY", 90)
    yield model_id
    service.call(f"{MODELS}/{model_id}", method="DELETE")


def test_it_says_which_versions_answer(page: Page, service: Service) -> None:
    page.open("#models")
    for model in service.call("/models").json["models"]:
        card = f"#models-series [data-kind='{model['kind']}']"
        text = page.text(card)
        assert model["name"] in text
        assert f"Version {model['version']} answers" in text
        assert f"@{model['alias']}" in text
        assert model["versions"][0]["created"][:10] in text


@pytest.mark.parametrize("languages", [("en-GB", "en"), ("ja-JP", "ja")])
def test_what_a_card_says_stays_within_it(page: Page, languages: tuple[str, ...]) -> None:
    page.language(*languages)
    page.open("#models")
    page.find("#models-series .card table")
    wide = page.js(
        "return [...document.querySelectorAll('#models-series .card')].map((card) => "
        "[card.scrollWidth - card.clientWidth,"
        " card.querySelector('.about').clientWidth / card.clientWidth])"
    )
    assert wide
    # What a version is for is read in lines, not in a column of single words.
    assert all(over <= 0 and share > 0.5 for over, share in wide), wide


@pytest.fixture
def hostile(service: Service) -> Iterator[str]:
    """Return a version whose description looks like HTML, and whose metrics are very long."""
    store = f"sqlite:///{service.folder / 'mlflow.db'}"
    client = MlflowClient(store, store)
    run = client.create_run("0").info.run_id
    client.log_metric(run, "loss", float("inf"))
    client.log_metric(run, "m" * 250, 1e-300)
    version = client.create_model_version(ENTIRE, f"runs:/{run}/model", run, description=HOSTILE)
    yield str(version.version)
    client.delete_model_version(ENTIRE, version.version)


def test_what_others_wrote_stays_text_and_in_its_place(page: Page, hostile: str) -> None:
    page.open("#models")
    text = page.text("#models-series [data-kind=entire] tbody")
    assert text.startswith(hostile)
    for part in (HOSTILE.strip(), "1.798E308", "1E-300", "m" * 250):
        assert part in text
    assert not page.all("#models-series img")
    for change in (lambda: None, page.narrow):
        change()
        assert page.js(STICK_OUT) == []
        assert page.js("return document.documentElement.scrollWidth <= innerWidth")


def test_it_asks_for_a_key_and_lists_nothing_without(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    page.open("#models")
    page.find("#key-dialog")
    assert not page.all("#models-series .card")
    page.type("#key-input", KEYS[0])
    page.click("#key-send")
    page.find("#models-series .card")
    page.find("#models-none")


def test_everybody_can_use_it(page: Page, axe: Callable[[Page], list[str]], trained: str) -> None:
    page.open("#models")
    page.find(f"#models-rows [data-model='{trained}']")
    for change in (lambda: None, page.narrow, page.dark):
        change()
        assert axe(page) == []
        assert page.js("return document.documentElement.scrollWidth <= innerWidth")


# The last one, because it deletes the model of those above.
def test_a_model_of_many_variables_is_listed_opened_and_deleted(page: Page, trained: str) -> None:
    page.open("#models")
    row = f"#models-rows [data-model='{trained}']"
    text = page.text(row)
    assert "<b>machine</b>" in text
    assert "ready" in text
    assert "training" in text

    page.click(f"{row} a")
    page.says("#var-progress-title", "<b>machine</b>")
    assert page.text("#var-model-id") == trained
    page.click("#var-detect")
    page.until(lambda: "rows" in page.all("#var-summary")[0].text, "it has detected", 90)

    page.click("[data-view=models]")
    page.click(f"{row} button")
    page.click("#confirm button:not(#confirm-yes)")
    assert page.find(row)
    page.click(f"{row} button")
    page.says("#confirm", "<b>machine</b>")
    page.click("#confirm-yes")
    page.until(lambda: not page.all(row), "it is deleted")
