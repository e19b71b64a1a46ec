"""What the tests of the page share: services that serve it, and a browser that opens it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chromium
import pytest
from chromium import Page
from selenium import webdriver
from services import KEYS, Service, keep_data, prepare, start_detector

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


def _leave_out(reason: str) -> None:
    """Skip a test for what is not installed here; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}: CI runs every test of the page")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    """Start the browser of all tests of the page; each has a tab of its own."""
    missing = [program for program in ("chromium", "chromedriver") if not shutil.which(program)]
    if missing:
        _leave_out(f"no {' and no '.join(missing)} (Debian: chromium, chromium-driver)")
    with chromium.browser() as driver:
        yield driver


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], list[str]]:
    """Return what lists the barriers of a page that axe-core calls serious or critical."""
    if not AXE.exists():
        _leave_out("no axe-core (make clients, where npm is)")
    script = AXE.read_text()
    return lambda page: page.barriers(script)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """Start at once, because each takes seconds: a service as `make serve` does, one with keys."""
    folder = tmp_path_factory.mktemp("pages")
    keep_data(folder / "plain")
    for name in ("plain", "guarded"):
        prepare(folder / name)
    services = {
        "plain": start_detector(
            folder / "plain", DETECTOR_EMBEDDED_WORKER="true", DETECTOR_TRAINING_EPOCHS="10"
        ),
        "guarded": start_detector(folder / "guarded", API_KEYS=",".join(KEYS)),
    }
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Service.wait, services.values()))
        yield services
    finally:
        for service in services.values():
            service.stop()


@pytest.fixture(scope="session")
def service(started: dict[str, Service]) -> Service:
    """Return a service without keys that trains models, too."""
    return started["plain"]


@pytest.fixture(scope="session")
def guarded(started: dict[str, Service]) -> Service:
    """Return a service with keys."""
    return started["guarded"]


@pytest.fixture
def opened(driver: webdriver.Chrome, tmp_path: Path) -> Iterator[Callable[[Service], Page]]:
    """Return what opens a tab for a service. After the test its log must have no error."""
    pages: list[Page] = []

    def tab(service: Service) -> Page:
        assert not pages, "a tab for each test"
        pages.append(Page(driver, service, tmp_path))
        return pages[-1]

    yield tab
    for page in pages:
        try:
            page.check()
        finally:
            page.close()


@pytest.fixture
def page(opened: Callable[[Service], Page], service: Service) -> Page:
    """Return a tab for the service without keys; nothing is open in it yet."""
    return opened(service)


@pytest.fixture
def guarded_page(opened: Callable[[Service], Page], guarded: Service) -> Page:
    """Return a tab for the service with keys; nothing is open in it yet."""
    return opened(guarded)
