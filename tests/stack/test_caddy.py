"""The stack behind Caddy: one address over TLS, accounts, and nothing for those who have none."""

from __future__ import annotations

import json
import os
import pty
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import quick_starts
import requests
import services
from compose import ROOT, Stack, compose_files, wait_until
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from services import HEADER

PORT, HTTP_PORT = 5081, 5082
URL = f"https://localhost:{PORT}"
KEY = secrets.token_hex(24)
OVERLAY = "caddy/caddy.yml"
PASSWORDS = {
    name: secrets.token_hex(16)
    for name in ("MLFLOW_ADMIN_PASSWORD", "MLFLOW_WORKSPACE_PASSWORD", "MLFLOW_DETECTOR_PASSWORD")
}
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=100"
SERIES = [{"value": float(place % 5)} for place in range(30)]
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
MODELS = f"{URL}/anomalydetector/v1.1/multivariate/models"
HEALTH = {"/health", "/health/live", "/health/ready", "/status", "/ready"}
# The endpoint's pages and what describes it: they hold no data.
PAGES = {f"/detector/{page}" for page in ("", "docs", "swagger", "openapi.json")}
# Every path and method that MLflow's server answers, printed in its container.
MLFLOW_PATHS = """
import json, os
os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
from mlflow.server.auth import create_app
paths = set()
for route in create_app().routes:
    paths |= {(route.path, method) for method in getattr(route, "methods", None) or ()}
from mlflow.server import app
for rule in app.url_map.iter_rules():
    paths |= {(rule.rule, method) for method in rule.methods}
print(json.dumps(sorted(paths)))
"""
DETECTOR_PATHS = """
import json
from detector.api.app import create
paths = create().openapi()["paths"]
found = [[path, method.upper()] for path, methods in paths.items() for method in methods]
print(json.dumps([*found, *([path, "GET"] for path in ("/docs", "/openapi.json", "/swagger"))]))
"""


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Return a stack behind Caddy with a local authority, in which no one has worked yet."""
    files = compose_files().split(":")
    stack = Stack(
        "anomaly-detector-caddy-test",
        port=0,
        detector_port=0,
        COMPOSE_FILE=":".join(files if OVERLAY in files else [*files, OVERLAY]),
        COMPOSE_PROJECT_NAME="anomaly-detector-caddy-test",
        CADDY_HOST="localhost",
        CADDY_TLS="internal",
        CADDY_HTTPS_PORT=str(PORT),
        CADDY_HTTP_PORT=str(HTTP_PORT),
        CADDY_MAX_BODY_BYTES="50000",
        CADDY_MAX_ARTIFACT_BYTES="100000",
        MLFLOW_FLASK_SERVER_SECRET_KEY=secrets.token_hex(16),
        DETECTOR_TRAINING_EPOCHS="5",
        **PASSWORDS,
    )
    stack.environment["API_KEYS"] = KEY
    stack.compose("down", "--volumes")
    failed = request.session.testsfailed
    try:
        stack.up()
        yield stack
    finally:
        if request.session.testsfailed > failed:
            print(stack.compose("ps", "-a", check=False).stdout)
            print(stack.compose("logs", "--no-color", "--tail", "80", check=False).stdout)
        stack.compose("down", "--volumes", check=False)


def fetch_authority(stack: Stack, folder: Path) -> Path:
    path = folder / "authority.pem"
    source = "caddy:/data/caddy/pki/authorities/local/root.crt"
    stack.compose("cp", source, str(path))
    return path


@pytest.fixture(scope="module")
def authority(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the certificate of the local authority, fetched as docs/accounts.md says."""
    return fetch_authority(stack, tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trusting(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process trust the authority, as docs/accounts.md says."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def curl(authority: Path, *arguments: str) -> str:
    command = ["curl", "-sS", "--cacert", str(authority), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def accounts(
    stack: Stack, *arguments: str, given: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run what ``make accounts`` runs."""
    done = subprocess.run(
        [ROOT / "scripts" / "accounts", *arguments],
        env=stack.environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def log_in(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> MlflowClient:
    """Return MLflow's client as a user who has set what docs/accounts.md says."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URL)
    return MlflowClient(URL)


def seen(client: MlflowClient) -> set[str]:
    return {each.name for each in client.search_experiments()}


@pytest.fixture(scope="module")
def maria(stack: Stack) -> str:
    """Return the password of a user who may do what everybody may."""
    password = secrets.token_hex(10)
    accounts(stack, "ADD=maria", given=password + "\n")
    return password


def test_the_walk_through_passes_in_the_workspace(stack: Stack) -> None:
    done = stack.walk_through()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{URL}/#/experiments/" in done.stdout


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "quick_start", [quick_starts.univariate, quick_starts.univariate_version_1_0]
)
def test_an_sdk_of_azure_trusts_the_local_authority(stack: Stack, quick_start: Any) -> None:
    assert quick_start(URL, KEY).found == quick_starts.AZURE_FOUND


def test_a_model_of_many_variables_is_trained_and_answers(stack: Stack) -> None:
    # Endpoint and worker log in to MLflow for it.
    with requests.Session() as session:
        session.headers[HEADER] = KEY
        data = services.table().encode()
        sent = session.put(f"{URL}/datasets/machine", data, timeout=60)
        assert sent.status_code == 201, sent.text
        asked = services.training(dataSource=sent.json()["dataSource"])
        begun = session.post(MODELS, json=asked, timeout=60)
        assert begun.status_code == 201, begun.text
        # As Caddy is called from outside.
        model = begun.headers["Location"]
        assert model.startswith(MODELS + "/")

        def info() -> Any:
            return session.get(model, timeout=60).json()["modelInfo"]

        wait_until(
            lambda: info()["status"] in ("READY", "FAILED"), "the model is trained", seconds=300
        )
        assert info()["status"] == "READY", info()["errors"]
        found = session.post(f"{model}:detect-last", json=services.latest(), timeout=60)
        assert len(found.json()["results"]) == 1, found.text
        # Deleting a model deletes its run.
        assert session.delete(model, timeout=60).status_code == 204


def test_node_trusts_the_local_authority(stack: Stack, authority: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not here")
    ask = (
        "const [url, key, body] = process.argv.slice(1);"
        f"fetch(url, {{method: 'POST', body, headers: {{'{HEADER}': key}}}})"
        ".then((answer) => console.log(answer.status))"
    )
    done = subprocess.run(
        ["node", "-e", ask, URL + ENTIRE, KEY, json.dumps({"series": SERIES})],
        env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(authority)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "200\n", done.stderr


def test_mlflows_client_logs_a_run_and_reads_it_back(
    stack: Stack, maria: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = log_in(monkeypatch, "maria", maria)
    experiment = client.create_experiment("of maria")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_param("depth", 3)
        mlflow.log_text("of the run", "note.txt")
    found = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="note.txt", dst_path=str(tmp_path)
    )
    assert Path(found).read_text() == "of the run"
    assert client.get_run(run.info.run_id).data.params == {"depth": "3"}


def test_http_is_redirected(stack: Stack) -> None:
    answer = requests.get(f"http://localhost:{HTTP_PORT}/a?b=c", allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{URL}/a?b=c")


def test_without_a_key_or_an_account_nothing_but_health_and_pages_is_served(
    stack: Stack, authority: Path
) -> None:
    python = ["python", "-W", "ignore", "-c"]
    inside = ["exec", "-T", "-e", "MLFLOW_AUTH_CONFIG_PATH=/tmp/accounts.ini", "mlflow", *python]
    paths = json.loads(stack.compose(*inside, MLFLOW_PATHS).stdout.splitlines()[-1])
    inside = ["exec", "-T", "detector", *python]
    own = json.loads(stack.compose(*inside, DETECTOR_PATHS).stdout.splitlines()[-1])
    assert len(paths) > 200
    assert len(own) > 20
    # What could lead to another path than it seems to.
    paths += [
        [path, "GET"]
        for path in (
            "/static-files/index.html", "//version", "/VERSION", "/anomalydetector/../docs",
            "/datasets/%2e%2e/metrics", "/health/../version", "//metrics", "/Metrics/",
            "/detector/metrics", "/detector//metrics", "/detector/page/../metrics",
            "/detector/docs/%2e%2e/metrics", "/detector/detector/metrics",
        )
    ]  # fmt: skip
    own += [[f"/detector{path}", method] for path, method in own]
    served = []
    with requests.Session() as session:
        for path, method in [*paths, *own]:
            if method in ("OPTIONS", "HEAD"):
                continue
            concrete = re.sub(r"<[^>]*>|\{[^}]*\}", "v1.1", path)
            request = requests.Request(method, URL).prepare()
            request.url = URL + concrete
            answer = session.send(request, timeout=30, allow_redirects=False, verify=str(authority))
            status = answer.status_code
            if status not in (401, 404, 405):
                served.append(concrete)
    assert set(served) == HEALTH | PAGES


def test_the_page_of_the_endpoint_works_below_its_path(stack: Stack) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    with requests.Session() as session:
        answer = session.get(f"{URL}/detector", headers=browser, timeout=10)
        assert (answer.url, answer.status_code) == (f"{URL}/detector/", 200)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        main = re.search(r'src="(page/\w+/main\.js)"', answer.text)
        assert main
        assert session.get(f"{URL}/detector/{main[1]}", timeout=10).text.startswith("//")
        for path, body in ((f"/detector{ENTIRE}", {"series": SERIES}), ("/detector/models", None)):
            method = "POST" if body else "GET"
            assert session.request(method, URL + path, json=body, timeout=30).status_code == 401
            headers = {HEADER: KEY, "Origin": URL, "Sec-Fetch-Site": "same-origin"}
            answer = session.request(method, URL + path, json=body, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
        assert answer.json()["mlflow"] == URL


def test_a_log_in_opens_what_mlflow_leaves_open(stack: Stack) -> None:
    page = "/static-files/manifest.json"
    admin = ("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"])
    assert requests.get(URL + page, timeout=10).status_code == 401
    assert requests.get(URL + page, auth=("admin", "wrong"), timeout=10).status_code == 401
    assert requests.get(URL + page, auth=admin, timeout=10).status_code == 200
    assert requests.get(URL, auth=admin, timeout=10).status_code == 200


def test_metrics_are_not_public(stack: Stack) -> None:
    admin = ("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"])
    for path in ("/metrics", "/metrics/", "//metrics", "/METRICS"):
        answer = requests.get(URL + path, auth=admin, headers={HEADER: KEY}, timeout=10)
        assert answer.status_code == 404


@pytest.mark.parametrize("host", ["rebound.example", f"rebound.example:{PORT}", "127.0.0.1"])
def test_a_foreign_host_is_refused(stack: Stack, host: str) -> None:
    for url in (URL, f"http://localhost:{HTTP_PORT}"):
        for path in ("/", "/health", ENTIRE):
            answer = requests.get(
                url + path,
                auth=("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"]),
                headers={"Host": host, HEADER: KEY},
                timeout=10,
            )
            assert answer.status_code == 421
            assert "CADDY_HOST" in answer.text


def test_pages_of_other_sites_change_nothing(stack: Stack) -> None:
    admin = ("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"])
    path = f"{URL}/api/2.0/mlflow/experiments/search"

    def status(origin: str) -> int:
        headers = {"Origin": origin}
        body = {"max_results": 1}
        return requests.post(path, json=body, auth=admin, headers=headers, timeout=10).status_code

    assert status(URL) == 200
    assert status("https://rebound.example") == 403


def test_http_2_and_the_headers(stack: Stack, authority: Path) -> None:
    arguments = ["--http2", "-o", "/dev/null", "-w", "%{http_version} %{ssl_verify_result}"]
    assert curl(authority, *arguments, f"{URL}/health") == "2 0"
    admin = ("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"])
    for path in ("/", "/health/ready", "/nowhere", "/metrics", "/static-files/nowhere"):
        headers = requests.get(URL + path, auth=admin, timeout=10).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "SAMEORIGIN", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert "Server" not in headers, path
        # Of localhost it would count for every port.
        assert "Strict-Transport-Security" not in headers, path


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        (ENTIRE, 60_000, 413),
        # One that refuses the method may answer before so much has been read.
        ("/detector/files/read", 60_000, 413),
        ("/api/2.0/mlflow/runs/log-batch", 60_000, 413),
        ("/api/2.0/mlflow-artifacts/artifacts/0/large", 110_000, 413),
        ("/api/2.0/mlflow-artifacts/artifacts/0/fits", 90_000, 200),
        ("/datasets/large", 110_000, 400),
    ],
)
def test_a_body_has_a_limit(stack: Stack, path: str, size: int, status: int) -> None:
    method = "PUT" if "artifacts" in path or "datasets" in path else "POST"
    answer = requests.request(
        method,
        URL + path,
        data=b"x" * size,
        auth=("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"]),
        headers={HEADER: KEY},
        timeout=60,
    )
    assert answer.status_code == status, answer.text
    if status == 413:
        assert "larger than" in answer.text
        assert answer.json()


def test_two_users_see_and_do_what_permissions_allow(
    stack: Stack, maria: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = accounts(stack, "ADD=dan").stdout
    of_dan = made.split("shown once: ")[1].strip()
    client = log_in(monkeypatch, "dan", of_dan)
    experiment = client.create_experiment("of dan")
    client.create_registered_model("model-of-dan")

    # Everybody reads what there is, and writes what is their own.
    client = log_in(monkeypatch, "maria", maria)
    assert "of dan" in seen(client)
    with pytest.raises(MlflowException, match="Permission denied"):
        client.create_run(experiment)
    with pytest.raises(MlflowException, match="Permission denied"):
        client.update_registered_model("model-of-dan", "mine now")
    given = ["GRANT=maria", "EXPERIMENT=of dan"]
    accounts(stack, *given, "PERMISSION=EDIT")
    accounts(stack, "GRANT=maria", "MODEL=model-of-dan", "PERMISSION=EDIT")
    run = client.create_run(experiment)
    client.update_registered_model("model-of-dan", "ours")
    with pytest.raises(MlflowException, match="Permission denied"):
        client.delete_run(run.info.run_id)
    listed = accounts(stack).stdout
    assert "EDIT experiment 'of dan'" in listed
    assert "EDIT registered model 'model-of-dan'" in listed
    accounts(stack, *given, "PERMISSION=DENY")
    assert "of dan" not in seen(client)
    with pytest.raises(MlflowException, match="Permission denied"):
        client.get_experiment(experiment)
    accounts(stack, *given, "PERMISSION=none")
    assert "of dan" in seen(client)
    with pytest.raises(MlflowException, match="Permission denied"):
        client.create_run(experiment)

    # Only the administrator makes users.
    for path in ("/api/2.0/mlflow/users/create", "/api/3.0/mlflow/users/permissions/grant"):
        body = {"username": "maria", "password": "of-somebody-else"}
        body |= {"resource_type": "experiment", "resource_id": experiment, "permission": "MANAGE"}
        answer = requests.post(URL + path, json=body, auth=("maria", maria), timeout=10)
        assert answer.status_code == 403, path

    # Passwords count at once.
    assert seen(log_in(monkeypatch, "dan", of_dan))
    with pytest.raises(MlflowException, match="401"):
        seen(log_in(monkeypatch, "dan", "a-wrong-password"))
    new = secrets.token_hex(10)
    accounts(stack, "PASSWORD=dan", given=new + "\n")
    with pytest.raises(MlflowException, match="401"):
        seen(log_in(monkeypatch, "dan", of_dan))
    assert seen(log_in(monkeypatch, "dan", new))
    accounts(stack, "REMOVE=dan")
    with pytest.raises(MlflowException, match="401"):
        seen(log_in(monkeypatch, "dan", new))


@pytest.mark.parametrize(
    ("arguments", "given", "text"),
    [
        (["ADD=maria"], "", "There is a user 'maria' already"),
        (["ADD=peter"], "short\n", "at least 12 characters; nothing was changed"),
        (["ADD=detector"], "", "MLFLOW_DETECTOR_PASSWORD in .env"),
        (["REMOVE=nobody"], "", "There is no user 'nobody'"),
        (["GRANT=maria", "EXPERIMENT=none", "PERMISSION=READ"], "", "no experiment 'none'"),
        (["GRANT=maria", "PERMISSION=READ"], "", "usage: make accounts"),
    ],
)
def test_what_accounts_cannot_do_is_said_in_one_sentence(
    stack: Stack, maria: str, arguments: list[str], given: str, text: str
) -> None:
    done = accounts(stack, *arguments, given=given, check=False)
    assert done.returncode == 1
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_a_password_is_asked_for_twice_on_a_terminal(stack: Stack) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [ROOT / "scripts" / "accounts", "ADD=tess"],
        env=stack.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as asked:
        os.close(theirs)
        shown = b""
        for prompt in (b"made): ", b"Once more: "):
            while prompt not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, b"typed-by-tess\n" if prompt == b"made): " else b"typed-otherwise\n")
        while b"nothing was changed" not in shown:
            shown += os.read(ours, 1000)
    os.close(ours)
    assert asked.returncode == 1
    assert b"typed" not in shown
    assert "tess" not in accounts(stack).stdout


def test_only_caddy_is_published(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
    published = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports") or []
    }
    assert published == {("caddy", "127.0.0.1", str(PORT)), ("caddy", "127.0.0.1", str(HTTP_PORT))}


@pytest.mark.parametrize("service", ["caddy", "accounts"])
def test_a_container_has_no_privilege_and_bounds(stack: Stack, service: str) -> None:
    found = stack.container(service)
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["ReadonlyRootfs"]
    assert any(each.startswith("no-new-privileges") for each in host["SecurityOpt"])
    assert 0 < host["PidsLimit"] <= 2048
    assert 0 < host["Memory"] <= 512 * 1024**2
    assert host["LogConfig"]["Config"]["max-size"] == "10m"
    assert found["Config"]["User"] not in ("", "0", "root")


def test_each_password_is_where_it_is_needed_and_nowhere_else(stack: Stack) -> None:
    holders = {
        "MLFLOW_ADMIN_PASSWORD": {"mlflow", "accounts"},
        "MLFLOW_WORKSPACE_PASSWORD": {"accounts", "workspace"},
        "MLFLOW_DETECTOR_PASSWORD": {"accounts", "detector", "worker"},
    }
    services = stack.compose("ps", "-a", "--services").stdout.split()
    given = {each: "\n".join(stack.container(each)["Config"]["Env"]) for each in services}
    for name, allowed in holders.items():
        assert {each for each in given if PASSWORDS[name] in given[each]} == allowed, name
    for service in stack.compose("ps", "--services").stdout.split():
        processes = stack.compose("top", service).stdout
        assert not [each for each in (*PASSWORDS.values(), KEY) if each in processes]


@pytest.mark.parametrize(
    ("service", "unset"),
    [
        ("mlflow", "MLFLOW_ADMIN_PASSWORD"),
        ("detector", "API_KEYS"),
    ],
)
def test_a_service_without_its_secret_does_not_start(
    stack: Stack, service: str, unset: str
) -> None:
    done = stack.compose("run", "--rm", "--no-deps", service, check=False, env={unset: ""})
    assert done.returncode != 0
    assert unset in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_stay_out_of_the_log(stack: Stack) -> None:
    adapt = ["caddy", "adapt", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
    log = json.loads(stack.compose("exec", "-T", "caddy", *adapt).stdout)["logging"]
    fields = log["logs"]["default"]["encoder"]["fields"]
    assert fields == {"request>headers": {"filter": "delete"}}


def test_users_come_back_from_a_backup(
    stack: Stack, maria: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = stack.environment | {"BACKUP_FOLDER": str(tmp_path / "backups")}
    script = [ROOT / "scripts" / "backup"]
    run = {"env": environment, "check": True, "capture_output": True, "text": True}
    made = subprocess.run([*script, "create"], **run).stdout.splitlines()[-1]  # type: ignore[call-overload]
    accounts(stack, "REMOVE=maria")
    with pytest.raises(MlflowException, match="401"):
        seen(log_in(monkeypatch, "maria", maria))
    subprocess.run([*script, "restore", made.split(": ")[0], "yes"], **run)  # type: ignore[call-overload]
    assert "MLflow Quickstart 2" in seen(log_in(monkeypatch, "maria", maria))


def test_a_first_start_that_was_cut_off_is_finished(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = ("admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"])
    log_in(monkeypatch, *admin).create_experiment("from before")
    gone = requests.delete(
        URL + "/api/2.0/mlflow/users/delete",
        json={"username": "detector"},
        auth=admin,
        timeout=10,
    )
    assert gone.status_code == 200, gone.text
    stack.compose("run", "--rm", "--no-deps", "accounts")
    assert "MANAGE experiment 'from before'" in accounts(stack).stdout


def test_an_outage_is_told_and_nothing_is_lost_by_a_restart(
    stack: Stack, maria: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.compose("stop", "mlflow", "detector")
    for path, text in ((SEARCH, "MLflow does not answer"), (ENTIRE, "endpoint does not answer")):
        away = requests.get(URL + path, auth=("maria", maria), timeout=20)
        assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
        assert text in away.text
        assert away.json()
    with pytest.raises(MlflowException, match="503"):
        seen(log_in(monkeypatch, "maria", maria))
    # The administrator's password of .env counts from the next start on.
    changed = {"MLFLOW_ADMIN_PASSWORD": secrets.token_hex(16)}
    stack.environment |= changed
    stack.compose("restart", "caddy")
    stack.compose("up", "-d", "--wait")
    assert fetch_authority(stack, tmp_path).read_bytes() == authority.read_bytes()
    assert "MLflow Quickstart 2" in seen(log_in(monkeypatch, "maria", maria))
    assert seen(log_in(monkeypatch, "admin", changed["MLFLOW_ADMIN_PASSWORD"]))
    with pytest.raises(MlflowException, match="401"):
        seen(log_in(monkeypatch, "admin", PASSWORDS["MLFLOW_ADMIN_PASSWORD"]))
    assert stack.walk_through().returncode == 0
    body, headers = {"series": SERIES}, {HEADER: KEY}
    assert requests.post(URL + ENTIRE, json=body, headers=headers, timeout=20).status_code == 200


def test_a_certificate_of_ones_own(stack: Stack, tmp_path: Path) -> None:
    host = "anomalies.example"
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
            "-out", str(certificate), "-keyout", str(key),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    tmp_path.chmod(0o755)
    key.chmod(0o644)
    settings = {
        "CADDY_HOST": host,
        "CADDY_TLS": "/certificates/server.pem /certificates/server.key",
        "CADDY_CERTIFICATES": str(tmp_path),
    }
    stack.compose("up", "-d", "--no-deps", "--wait", "caddy", env=settings)
    there = ["--resolve", f"{host}:{PORT}:127.0.0.1", "-i", f"https://{host}:{PORT}/health"]
    wait_until(lambda: "OK" in curl(certificate, *there), "it answers", seconds=20)
    assert "strict-transport-security: max-age=31536000" in curl(certificate, *there)
