"""The alerts and the dashboard: tested by promtool, documented, and about what is really told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from services import ROOT

FOLDER = ROOT / "prometheus"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
TESTS = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
DASHBOARD = json.loads((FOLDER / "grafana" / "stack.json").read_text())
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
# A name of one of our metrics, whatever part of a histogram is asked.
OURS = re.compile(r"\bdetector_\w+")
NAMES_OF_OURS = """
import sys
from detector.api.served_models import ServedModels
from detector.api import metrics as service
from detector.jobs.metrics import Metrics
from prometheus_client import generate_latest
service.REQUESTS.labels("entire", "v1.1", "200").inc()
service.ERRORS.labels("entire", "InvalidPeriod").inc()
service.POINTS.labels("entire").inc()
service.LATENCY.labels("entire").observe(1)
service.MODEL_VERSION.labels("change-point").set(1)
ServedModels("champion", 10, allow_code=False)
sys.stdout.buffer.write(service.exposition() + generate_latest(Metrics("jobs.db").registry))
"""


def queries() -> list[str]:
    return [
        *(rule["expr"] for rule in ALERTS.values()),
        *(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])),
    ]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here (Debian: prometheus)")
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_files(promtool: str) -> None:
    run(promtool, "check", "config", "prometheus/prometheus.yml")
    run(promtool, "check", "rules", "prometheus/alerts.yml")


def test_each_alert_fires_and_stays_silent_when_it_should(promtool: str) -> None:
    run(promtool, "test", "rules", "prometheus/alerts_test.yml")


def test_a_wrong_rule_does_not_pass(promtool: str, tmp_path: Path) -> None:
    rules = (FOLDER / "alerts.yml").read_text()
    wrong = rules.replace('expr: up{job="detector"} == 0', 'expr: up{job="detector"} == 1')
    assert wrong != rules
    (tmp_path / "alerts.yml").write_text(wrong)
    of_it = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": TESTS[:2]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(of_it))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "test.yml"], check=False)
    assert done.returncode != 0


def test_there_is_a_test_of_both_for_each_alert() -> None:
    firing, silent = set(), set()
    for test in TESTS:
        for asked in test["alert_rule_test"]:
            (firing if asked["exp_alerts"] else silent).add(asked["alertname"])
    assert firing == silent == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    summary, address = rule["annotations"]["summary"], rule["annotations"]["runbook_url"]
    assert summary.endswith(".")
    assert address == f"docs/monitoring.md#{name.lower()}"
    # What it means and what to do.
    section = PAGE.split(f"\n### {name}\n")[1].partition("\n### ")[0]
    assert len(section) > 150, name


def test_the_page_has_no_alert_that_is_none() -> None:
    runbook = PAGE.split("\n## When an alert fires\n")[1].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", runbook, re.MULTILINE) == list(ALERTS)


def test_the_figures_of_ours_that_are_asked_for_are_told() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "app")}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NAMES_OF_OURS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = set(re.findall(r"^(detector_\w+)", told, re.MULTILINE))
    asked = {name for query in queries() for name in OURS.findall(query)}
    assert len(asked) > 10
    assert not asked - names


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    source = yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text())
    provider = yaml.safe_load((FOLDER / "grafana" / "dashboards.yml").read_text())
    assert source["apiVersion"] == provider["apiVersion"] == 1
    [prometheus] = source["datasources"]
    assert {"name", "type", "url", "access", "uid"} <= prometheus.keys()
    assert provider["providers"][0]["options"]["path"] == "/etc/grafana/dashboards"
    assert {"uid", "title", "schemaVersion", "panels"} <= DASHBOARD.keys()
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == prometheus["uid"]
            assert target["expr"]
            assert target["legendFormat"]
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_every_file_that_is_mounted_is_there() -> None:
    services = compose()["services"]
    mounted = [
        volume.split(":")[0]
        for name in ("prometheus", "grafana", "mysqld-exporter", "blackbox-exporter")
        for volume in services[name]["volumes"]
        if volume.startswith("./") and "$" not in volume
    ]
    assert len(mounted) > 6
    assert not [path for path in mounted if not (ROOT / path).is_file()]
    # One for each way in which the endpoint answers.
    for name in ("detector", "detector-tls"):
        assert (FOLDER / "targets" / f"{name}.yml").is_file()


def test_grafana_does_not_start_without_a_password() -> None:
    program, option, script = compose()["services"]["grafana"]["entrypoint"]
    done = subprocess.run(
        [program, option, script.replace("$$", "$")],
        env=os.environ | {"GF_SECURITY_ADMIN_PASSWORD": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "GRAFANA_ADMIN_PASSWORD is empty" in done.stderr


def test_the_pages_are_published_on_loopback_and_what_asks_is_not() -> None:
    services = {
        name: service
        for name, service in compose()["services"].items()
        if service.get("profiles") == ["monitoring"]
    }
    assert len(services) == 5
    for name, service in services.items():
        ports = service.get("ports", [])
        assert bool(ports) == (name in {"prometheus", "grafana"})
        assert all(port.startswith("127.0.0.1:") for port in ports)
