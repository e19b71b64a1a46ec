"""A real Chromium, driven by selenium, and what the tests of the page ask of it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import services
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

# Without these a fresh profile asks its maker's servers for components and for what is new.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,900",
)
# What an element is while the page draws it anew.
NOT_YET = (
    NoSuchElementException,
    StaleElementReferenceException,
    ElementNotInteractableException,
)


@contextmanager
def browser(*arguments: str) -> Iterator[webdriver.Chrome]:
    """Start a Chromium with a fresh profile, and stop it in the end."""
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Debian's, so that selenium looks for none elsewhere.
    driver = webdriver.Chrome(options=options, service=Driver(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of a service, in a tab of its own.

    Whatever is looked for is waited for. The browser logs requests that fail, and an error in its
    log fails the test: one that provokes refusals names their HTTP statuses in ``refusals``, one
    that cuts the service off sets ``is_cut_off``. ``own`` has the addresses that may be asked.
    """

    def __init__(self, driver: webdriver.Chrome, service: services.Service, folder: Path) -> None:
        self.driver = driver
        self.service = service
        self.downloads = folder
        self.refusals: set[int] = set()
        self.is_cut_off = False
        self.own = [service.url + "/", "data:", "blob:", "about:"]
        self._requested: list[dict[str, Any]] = []
        self._answered: list[tuple[str, int]] = []
        self._first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        self.cdp("Network.clearBrowserCookies")
        self.cdp("Storage.clearDataForOrigin", origin=service.url, storageTypes="all")
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        for kind in ("browser", "performance"):
            driver.get_log(kind)

    def cdp(self, command: str, **parameters: Any) -> Any:
        """Send a command of Chromium's DevTools to this tab."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a script as the body of a function; ``return`` what is wanted."""
        return self.driver.execute_script(script, *arguments)

    def open(self, address: str = "") -> Page:
        """Open the page, with a fragment such as ``#sample=elnino`` or at a whole address."""
        target = address if "://" in address else f"{self.service.url}/{address}"
        if self.driver.current_url.split("#")[0] == target.split("#")[0]:
            # Of the same document, only the fragment would change.
            self.driver.get("about:blank")
        self.driver.get(target)
        return self

    def until(
        self,
        condition: Callable[[], Any],
        what: str,
        seconds: float = 20,
        *,
        pause: float = 0.05,
    ) -> Any:
        """Return what the condition returns once it is true, also of elements drawn anew.

        To ask the browser takes milliseconds of four processes: ``pause`` between long waits.
        """

        def asked() -> Any:
            try:
                return condition()
            except NOT_YET:
                return None

        try:
            return services.until(asked, what, seconds, pause=pause)
        except AssertionError as error:
            log = [entry["message"] for entry in self.driver.get_log("browser")]
            shown = self.js("return document.body ? document.body.innerText : ''")[:2000]
            raise AssertionError(f"{error}\nThe page shows: {shown}\nIts log: {log}") from None

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str) -> WebElement:
        """Return the first element that is shown."""

        def shown() -> WebElement | None:
            return next((each for each in self.all(selector) if each.is_displayed()), None)

        found: WebElement = self.until(shown, f"{selector} is shown")
        return found

    def click(self, selector: str) -> None:
        def clicked() -> bool:
            self.find(selector).click()
            return True

        self.until(clicked, f"{selector} is clicked")

    def text(self, selector: str) -> str:
        """Return the text of an element that is shown, once it has some."""
        text: str = self.until(lambda: self.find(selector).text.strip(), f"{selector} has a text")
        return text

    def says(self, selector: str, part: str) -> str:
        """Return the text of an element once it contains the part."""

        def said() -> str | None:
            text: str = self.find(selector).text
            return text if part in text else None

        said_text: str = self.until(said, f"{selector} says {part!r}")
        return said_text

    def type(self, selector: str, text: str) -> None:
        """Write into a field in place of what it has."""
        field = self.find(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def slide(self, selector: str, value: float) -> None:
        """Move a slider as a hand does: its value, then the event."""
        self.js(
            "const [slider, value] = arguments; slider.value = value;"
            "slider.dispatchEvent(new Event('input', {bubbles: true}));"
            "slider.dispatchEvent(new Event('change', {bubbles: true}));",
            self.find(selector),
            value,
        )

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select by its value."""
        self.until(
            lambda: (
                (option := self.find(f"{selector} option[value='{value}']")).click()
                or option.is_selected()
            ),
            f"{value} is chosen in {selector}",
        )

    def file(self, selector: str, path: Path) -> None:
        """Give a file to a file chooser, which itself need not be shown."""
        self.until(lambda: self.all(selector), f"{selector} is there")[0].send_keys(str(path))

    def downloaded(self, pattern: str) -> Path:
        """Return the file that was saved, once it is whole."""

        def saved() -> Path | None:
            return next(iter(self.downloads.glob(pattern)), None)

        path: Path = self.until(saved, f"{pattern} is downloaded")
        return path

    def dark(self) -> None:
        """Ask for dark colours, as the system's setting does."""
        self._scheme("dark")

    def light(self) -> None:
        self._scheme("light")

    def _scheme(self, name: str) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": name}]
        self.cdp("Emulation.setEmulatedMedia", features=scheme)
        # Colours pass over into others, and what is seen meanwhile is neither.
        settled = "return document.getAnimations().length === 0"
        self.until(lambda: self.js(settled), f"the colours are {name}")

    def narrow(self) -> None:
        """Be a telephone."""
        size = {"width": 390, "height": 844, "deviceScaleFactor": 1}
        self.cdp("Emulation.setDeviceMetricsOverride", mobile=True, **size)

    def language(self, *languages: str) -> None:
        """Be a browser of people who read these languages, such as ``ja-JP`` and ``ja``."""
        agent = self.js("return navigator.userAgent")
        accepted = ",".join(languages)
        self.cdp("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=accepted)
        self.cdp("Emulation.setLocaleOverride", locale=languages[0].replace("-", "_"))

    def picture(self, selector: str = "", path: Path | None = None) -> Image.Image:
        """Return what an element looks like; without one, what is in the window."""
        if selector:
            content = self.find(selector).screenshot_as_png
        else:
            content = base64.b64decode(self.cdp("Page.captureScreenshot", format="png")["data"])
        if path:
            path.write_bytes(content)
        return Image.open(io.BytesIO(content)).convert("RGB")

    def barriers(self, axe: str) -> list[str]:
        """Return what axe-core's script finds serious or critical, a line for each element."""
        self.js(axe)
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']})"
            ".then((found) => done(found.violations), (error) => done(String(error)));"
        )
        assert not isinstance(found, str), found
        return [
            f"{rule['impact']}: {rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests of this test so far, as Chromium's DevTools describe them."""
        self._read_network()
        return self._requested

    def answers(self) -> list[tuple[str, int]]:
        """Return the path and the HTTP status of each answer of this test so far."""
        self._read_network()
        return self._answered

    def _read_network(self) -> None:
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requested.append(message["params"]["request"])
            elif message["method"] == "Network.responseReceived":
                answer = message["params"]["response"]
                self._answered.append((urlsplit(answer["url"]).path, answer["status"]))

    def check(self) -> None:
        """Fail where the browser's log has an error, or a request left for another host."""
        log = self.driver.get_log("browser")
        errors = [entry["message"] for entry in log if not self._expected(entry)]
        assert not errors, "\n".join(errors)
        own = tuple(self.own)
        others = [each["url"] for each in self.requests() if not each["url"].startswith(own)]
        assert not others, others

    def _expected(self, entry: dict[str, Any]) -> bool:
        if entry["level"] != "SEVERE":
            return True
        expected = [f"status of {status} " for status in self.refusals]
        if self.is_cut_off:
            expected.append("net::ERR_CONNECTION_")
        return entry["source"] == "network" and any(each in entry["message"] for each in expected)

    def close(self) -> None:
        """Close this tab and those that it opened."""
        for handle in self.driver.window_handles:
            if handle != self._first:
                self.driver.switch_to.window(handle)
                self.driver.close()
        self.driver.switch_to.window(self._first)
