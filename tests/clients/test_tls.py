"""Clients trust the service's own authority as it tells them to, and change nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import quick_starts
import requests
from services import HEADER, ROOT, Service

HERE = Path(__file__).parent
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
BODY = json.dumps({"series": [{"value": float(place % 5)} for place in range(30)]})
HEADERS = {HEADER: "any", "Content-Type": "application/json"}


@pytest.fixture
def service(secured: Service) -> Service:
    """Return the service over TLS, without what this process trusts."""
    return secured


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")


def told(service: Service, client: str) -> str:
    """Return what the service printed for a client, the lines that go on it joined."""
    found = re.search(rf"^  {re.escape(client)} +((?:.*\\\n)*.*)\n", service.output, re.MULTILINE)
    assert found, service.output
    return re.sub(r"\s*\\\n\s*", " ", found[1])


def run(
    service: Service, client: str, *command: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program with what the client is told to export; without a client, with nothing."""
    said = told(service, client) if client else ""
    exported = dict(re.findall(r"(\w+)=(\S+)", said)) if "export" in said else {}
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests"), **exported},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_it_says_whom_to_trust_and_by_which_names(service: Service) -> None:
    lines = [line for line in service.output.splitlines() if line.startswith("TLS: ")]
    # Once, though there are two processes.
    (line,) = lines
    assert str(service.authority) in line
    assert "localhost, 127.0.0.1, ::1" in line
    assert "anomalies.example.com" in line
    assert f"https://127.0.0.1:{service.port}" in service.output


def test_curl(service: Service) -> None:
    needs("curl")
    address = f"https://localhost:{service.port}{ENTIRE}"
    command = ["curl", "-sS", "-H", f"{HEADER}: any"]
    command += ["-d", BODY, address]
    assert "certificate" in run(service, "", *command).stderr
    done = run(service, "", *command, *told(service, "curl").split())
    assert json.loads(done.stdout)["isAnomaly"] == [False] * 30, done.stderr
    # A name of the settings.
    where = f"anomalies.example.com:{service.port}"
    named = ["curl", "-sS", "--resolve", f"{where}:127.0.0.1", f"https://{where}/health/live"]
    assert "alive" in run(service, "", *named, *told(service, "curl").split()).stdout


@pytest.mark.parametrize(
    ("version", "is_spoken"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_openssl(service: Service, version: str, is_spoken: bool) -> None:
    needs("openssl")
    command = f"openssl s_client -connect 127.0.0.1:{service.port} -verify_return_error"
    command += f" -x509_strict -verify_ip 127.0.0.1 -CAfile {service.authority} {version}"
    done = run(service, "", *command.split())
    assert ("Verify return code: 0 (ok)" in done.stdout and done.returncode == 0) == is_spoken


def test_java(service: Service, tmp_path: Path) -> None:
    needs("java")
    needs("keytool")
    # It runs for a second: what its second compiler takes is more than that saves.
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    program = [str(HERE / "java" / "Detect.java"), service.url + ENTIRE, BODY]
    assert "unable to find valid certification path" in run(service, "", *java, *program).stderr
    made = run(service, "", *told(service, "Java").split(), folder=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    options = re.findall(r"-Djavax\S+", service.output)
    assert len(options) == 2
    done = run(service, "", *java, *options, *program, folder=tmp_path)
    assert [line[:4] for line in done.stdout.splitlines()] == ["200 "] * 2, done.stderr


def test_node(service: Service) -> None:
    needs("node")
    program = ["node", str(HERE / "javascript" / "detect.mjs"), service.url + ENTIRE, BODY]
    assert "certificate" in run(service, "", *program).stderr
    done = run(service, "Node", *program)
    assert [line[:4] for line in done.stdout.splitlines()] == ["200 "] * 2, done.stderr


def test_python_requests(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    address = service.url + ENTIRE
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(address, BODY, headers=HEADERS, timeout=30)
    answer = requests.post(
        address, BODY, headers=HEADERS, timeout=30, verify=str(service.authority)
    )
    assert answer.status_code == 200
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(service.authority))
    assert requests.post(address, BODY, headers=HEADERS, timeout=30).status_code == 200


@pytest.mark.filterwarnings("ignore")
def test_python_sdk_by_its_own_option(service: Service) -> None:
    from azure.ai.anomalydetector import AnomalyDetectorClient
    from azure.core.credentials import AzureKeyCredential

    client = AnomalyDetectorClient(
        service.url, AzureKeyCredential("any"), connection_verify=str(service.authority)
    )
    with client:
        assert list(client.list_multivariate_models()) == []


def test_python_sdks_unchanged(service: Service) -> None:
    program = [sys.executable, str(HERE / "python" / "trusting.py"), service.url]
    done = run(service, "Python", *program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "azure-ai-anomalydetector": quick_starts.AZURE_FOUND,
        "azure-cognitiveservices-anomalydetector": quick_starts.AZURE_FOUND,
        "asynchronous": True,
    }
