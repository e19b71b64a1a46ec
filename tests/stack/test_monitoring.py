"""Prometheus beside a running stack: it reads all, its queries work, and its alerts fire in time.

Grafana has no stand-in; its dashboard's queries are asked of Prometheus itself.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import ROOT, Stack, compose_files, wait_until
from services import HEADER

FOLDER = ROOT / "prometheus"
PORT = 5086
SERVICES = ("prometheus", "mysqld-exporter", "node-exporter", "blackbox-exporter")
JOBS = {"prometheus", "detector", "worker", "mlflow", "store", "mysql", "node", "probe"}
DASHBOARD = json.loads((FOLDER / "grafana" / "stack.json").read_text())
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
# Told where TLS is spoken, and by the other store.
ELSEWHERE = ("probe_ssl_", "minio_")
# There is nothing to show while all is well.
EMPTY_WHEN_WELL = ("detector_model_refused", "probe_ssl_earliest_cert_expiry")
DAYS = [
    {"timestamp": f"2026-01-{day:02}T00:00:00Z", "value": 90.0 if day == 20 else 10.0}
    for day in range(1, 29)
]


class Watched:
    """A stack with Prometheus beside it, which looks every second and does not wait long."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        rules, config = folder / "alerts.yml", folder / "prometheus.yml"
        quick = re.sub(r"for: \S+", "for: 3s", (FOLDER / "alerts.yml").read_text())
        rules.write_text(quick)
        config.write_text((FOLDER / "prometheus.yml").read_text().replace("15s", "1s"))
        backups = folder / "backups"
        backups.mkdir()
        backups.chmod(0o755)
        now = time.time()
        (backups / "backup.prom").write_text(
            f"backup_last_success_timestamp_seconds {now}\nbackup_last_attempt_timestamp_seconds "
            f"{now}\nbackup_last_attempt_failed 0\nbackup_bytes 1000\nbackup_seconds 5\n"
        )
        override = folder / "quick.yml"
        volumes = [f"{file}:/etc/prometheus/{file.name}:ro" for file in (rules, config)]
        override.write_text(json.dumps({"services": {"prometheus": {"volumes": volumes}}}))
        self._environment = {
            "COMPOSE_FILE": f"{compose_files()}:{override}",
            "PROMETHEUS_PORT": str(PORT),
            "BACKUP_FOLDER": str(backups),
        }

    def compose(self, *arguments: str, check: bool = True) -> str:
        arguments = ("--profile", "monitoring", *arguments)
        return self.stack.compose(*arguments, check=check, env=self._environment).stdout

    def ask(self, path: str, **given: str) -> Any:
        """Return what Prometheus answers; one that is wrong has a message."""
        address = f"http://127.0.0.1:{PORT}/api/v1/{path}?{urllib.parse.urlencode(given)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{given}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        return {
            alert["labels"]["alertname"]
            for alert in self.ask("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def detect(self, **changes: Any) -> int:
        """Ask the endpoint to detect in a series; return the status of its answer, 0 for none."""
        request = urllib.request.Request(
            f"{self.stack.endpoint}/anomalydetector/v1.1/timeseries/entire/detect",
            json.dumps({"series": DAYS, "granularity": "daily"} | changes).encode(),
            {HEADER: "any"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.fixture(scope="module")
def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(stack, tmp_path_factory.mktemp("monitoring"))
    wait_until(stack.can_detect, "the stack is whole")
    try:
        watched.compose("up", "-d", "--wait", "--no-deps", *SERVICES)
        wait_until(lambda: bool(watched.query("up")), "Prometheus has looked")
        yield watched
    finally:
        watched.compose("rm", "--stop", "--force", "--volumes", *SERVICES, check=False)


def test_every_target_is_read(watched: Watched) -> None:
    def up() -> set[str]:
        targets = watched.ask("targets")["activeTargets"]
        return {each["labels"]["job"] for each in targets if each["health"] == "up"}

    wait_until(lambda: up() == JOBS, f"all of {JOBS} are read", seconds=30)


def test_every_query_of_the_dashboard_has_an_answer(watched: Watched) -> None:
    asked = {target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])}
    assert len(asked) > 30

    def without() -> set[str]:
        # A rate needs what rises.
        assert (watched.detect(), watched.detect(period=-1)) == (200, 400)
        missing = {each for each in asked if not watched.query(each)}
        return {each for each in missing if not any(name in each for name in EMPTY_WHEN_WELL)}

    try:
        wait_until(lambda: not without(), "every query has an answer", seconds=30)
    except AssertionError:
        raise AssertionError(f"no answer: {without()}") from None


def test_every_metric_that_is_asked_for_is_told(watched: Watched) -> None:
    told = set(watched.ask("label/__name__/values"))
    text = " ".join([*ALERTS.values(), json.dumps(DASHBOARD)])
    families = "detector|mlflow_http|mysql|node|probe|process|backup|SeaweedFS|minio"
    asked = set(re.findall(rf"\b(?:{families})_\w+", text))
    assert len(asked) > 30
    assert not {name for name in asked - told if not name.startswith(ELSEWHERE)}


def test_no_alert_fires_while_all_is_well(watched: Watched) -> None:
    for name, expression in ALERTS.items():
        assert isinstance(watched.query(expression), list), name

    # Longer than any of them waits here.
    after = time.time() + 5

    def evaluated() -> bool:
        groups = watched.ask("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == ALERTS.keys()
        last = [datetime.fromisoformat(each["lastEvaluation"][:19] + "Z") for each in groups]
        return min(last).timestamp() > after and all(rule["health"] == "ok" for rule in rules)

    wait_until(evaluated, "every rule was evaluated again and again", seconds=30)
    disk = shutil.disk_usage("/")
    known = {"DiskLow", "DiskFull"} if disk.free < 0.12 * disk.total else set()
    assert watched.firing() <= known


@pytest.mark.parametrize(
    ("service", "alert"), [("worker", "WorkerDown"), ("detector", "EndpointDown")]
)
def test_a_service_that_is_killed_is_told_and_so_is_its_return(
    watched: Watched, service: str, alert: str
) -> None:
    watched.stack.compose("kill", service)
    try:
        wait_until(lambda: alert in watched.firing(), f"{alert} fires", seconds=30)
    finally:
        watched.stack.compose("start", service)
    wait_until(lambda: alert not in watched.firing(), f"{alert} is over", seconds=60)
    wait_until(lambda: watched.detect() == 200, "the endpoint detects")


@pytest.mark.parametrize("service", SERVICES)
def test_what_watches_may_do_nothing_else(watched: Watched, service: str) -> None:
    container = watched.compose("ps", "-q", service).strip()
    found = json.loads(watched.stack.docker("inspect", container).stdout)[0]
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert any(each.startswith("no-new-privileges") for each in host["SecurityOpt"])
    assert 0 < host["Memory"] <= 512 * 1024**2
    assert 0 < host["PidsLimit"] <= 2048
    assert found["Config"]["User"].split(":")[0] not in ("", "0", "root")
    # Nothing of it can be reached from outside but Prometheus's page, and that from this host.
    bindings = [each for ports in host["PortBindings"].values() for each in ports]
    assert [each["HostIp"] for each in bindings] == ["127.0.0.1"] * (service == "prometheus")
    processes = watched.stack.docker("top", container).stdout
    assert not [secret for secret in watched.stack.secrets.values() if secret in processes]


def test_the_endpoint_is_asked_over_tls_where_it_speaks_it(watched: Watched) -> None:
    config = ("--profile", "monitoring", "config")
    for setting in ("DETECTOR_TLS", "DETECTOR_TLS_CERTIFICATE"):
        given = watched.stack.compose(*config, env={setting: "self"}).stdout
        assert "targets/detector-tls.yml" in given
    assert "targets/detector.yml" in watched.compose("config")
