"""The Spark cluster: what it computes and outlives, whom it refuses, and what it may do."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from compose import ROOT, SPARK, Stack, run_on_cluster, wait_until

SERVICES = ("spark-master", "spark-worker", "spark-workspace")
WORKERS = 2
# Drivers that know the addresses and not the secret, or would not encrypt what they send.
STRANGERS = {
    "a wrong secret": r"s/^spark.authenticate.secret .*/spark.authenticate.secret wrong/",
    "no secret": r"/^spark.authenticate\|^spark.network.crypto/d",
    "no encryption": r"s/^spark.network.crypto.enabled .*/spark.network.crypto.enabled false/",
}
ENTER = "from detector.spark import session; print(session('stranger').range(9).count())"
LISTENING = """
import socket, struct
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    _, local, _, state = line.split()[:4]
    if state == "0A":
        print(socket.inet_ntoa(struct.pack("<I", int(local.split(":")[0], 16))))
"""
USE_STORE = """
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url="http://minio:9000")
for bucket in ("datasets", "mlflow"):
    try:
        s3.list_objects_v2(Bucket=bucket)
        print(bucket)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
"""


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Iterator[Stack]:
    """The stack with a master, two workers and a driver's workspace."""
    ready = ("up", "-d", "--build", "--wait", "--scale", f"spark-worker={WORKERS}")
    stack.compose(*ready, "spark-worker", "spark-workspace")
    yield stack
    stack.compose(*SPARK, "rm", "--stop", "--force", *SERVICES)


@pytest.fixture(scope="module")
def strangers(cluster: Stack) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Drivers that try to enter. Spark tries for a minute, so they do it while other tests run."""
    begun = {}
    for number, (name, change) in enumerate(STRANGERS.items()):
        folder = f"/tmp/stranger-{number}"  # noqa: S108 - in the container
        script = (
            f"mkdir -p {folder} && sed '{change}' $SPARK_CONF_DIR/spark-defaults.conf "
            f'>{folder}/spark-defaults.conf && SPARK_CONF_DIR={folder} exec python -c "{ENTER}"'
        )
        command = ["docker", "compose", "-p", cluster.project, "exec", "-T", "spark-workspace"]
        begun[name] = subprocess.Popen(
            [*command, "sh", "-c", script],
            cwd=ROOT,
            env=cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    yield begun
    for each in begun.values():
        each.kill()
        each.communicate()


def page(cluster: Stack, path: str = "/json/", data: bytes | None = None) -> str:
    """Ask the master's page, as a browser on this machine would."""
    address = f"http://127.0.0.1:{cluster.environment['SPARK_PORT']}{path}"
    with urllib.request.urlopen(address, data, timeout=10) as answer:
        return str(answer.read().decode())


def workers(cluster: Stack) -> int:
    known = json.loads(page(cluster))["workers"]
    return len([each for each in known if each["state"] == "ALIVE"])


def look(cluster: Stack) -> str:
    """Return the command lines of the cluster, and what its master keeps on its disk."""
    kept = "cat /var/lib/spark/* | tr -cd '[:print:]'"
    return "".join(
        [cluster.compose("top", service).stdout for service in SERVICES]
        + [cluster.compose("exec", "-T", "spark-master", "sh", "-c", kept).stdout]
    )


@pytest.mark.usefixtures("strangers")
def test_a_killed_worker_costs_its_tasks_only_and_a_killed_master_nothing(cluster: Stack) -> None:
    seen = []

    def look_and_kill_a_worker() -> None:
        seen.append(look(cluster))
        cluster.docker("kill", cluster.containers("spark-worker")[0])

    found = run_on_cluster(cluster, 1000, 16, half_way=lambda: cluster.sigkill("spark-master"))
    again = run_on_cluster(cluster, 1000, 16, half_way=look_and_kill_a_worker)
    assert {**again, "seconds": found["seconds"]} == found
    assert (found["series"], found["errors"]) == (1000, 0)
    assert found["fewest"] == found["most"] == found["moments"] == 180
    assert found["anomalies"] > 1000
    # With the executors running.
    assert "CoarseGrainedExecutorBackend" in seen[0]
    assert "tests/stack/spark_job.py" in seen[0]
    assert cluster.secrets["SPARK_SECRET"] not in seen[0]


def test_the_walk_through_runs_on_the_cluster_and_writes_to_the_store(cluster: Stack) -> None:
    walk = ["exec", "-T", "spark-workspace", "python", "app/fleet.py", "--series", "400"]
    # The second writes over the first.
    for done in (cluster.compose(*walk, check=False) for _ in range(2)):
        assert done.returncode == 0, done.stderr
        assert "Spark: spark://spark-master:7077, " in done.stdout
        assert f"400 series of {400 * 180:,} points in " in done.stdout
        assert "The answers, as Parquet: s3://datasets/fleet" in done.stdout
    # Writing over a whole bucket is refused.
    bucket = cluster.compose(*walk, "--out", "s3://datasets", check=False)
    assert bucket.returncode == 2
    assert "'s3://datasets/' must name a folder of the bucket" in bucket.stderr.splitlines()[-1]


def test_a_worker_that_comes_back_is_taken_in_and_finds_its_disk_clean(cluster: Stack) -> None:
    # What a worker leaves that is gone for good.
    folder = "/var/lib/spark/gone"
    cluster.compose("exec", "-T", "spark-worker", "mkdir", folder)
    cluster.compose("restart", "spark-worker")
    wait_until(lambda: workers(cluster) == WORKERS, "both workers are registered")
    listed = cluster.compose("exec", "-T", "spark-worker", "ls", "/var/lib/spark")
    names = [
        cluster.docker("inspect", "--format", "{{.Config.Hostname}}", each).stdout.strip()
        for each in cluster.containers("spark-worker")
    ]
    assert sorted(listed.stdout.split()) == sorted(names)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_of_the_cluster_may_do_no_more_than_it_needs(
    cluster: Stack, service: str
) -> None:
    container = cluster.container(service)
    host = container["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert 0 < host["PidsLimit"] <= 2048
    assert 0 < host["Memory"] <= 4 * 1024**3
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    # People add packages to the workspace.
    assert host["ReadonlyRootfs"] == (service != "spark-workspace")
    inside = ["exec", "-T", service]
    status = cluster.compose(*inside, "cat", "/proc/1/status").stdout
    assert re.search(r"^CapEff:\s0+$", status, re.MULTILINE)
    assert not re.search(r"^Uid:.*\s0(\s|$)", status, re.MULTILINE)
    # The code of the checkout is there to be read.
    assert cluster.compose(*inside, "touch", "/srv/app/x", check=False).returncode
    assert cluster.secrets["SPARK_SECRET"] not in json.dumps(
        [container["Config"][each] for each in ("Cmd", "Entrypoint", "Labels")]
        + [container["Path"], container["Args"]]
    )
    found = cluster.compose(*inside, "stat", "-c", "%a", "/run/spark/spark-defaults.conf").stdout
    assert found.strip() == "600"


def test_each_secret_is_where_it_is_needed_and_nowhere_else(cluster: Stack) -> None:
    holders = {
        "SPARK_SECRET": set(SERVICES),
        "DETECTOR_STORE_SECRET": {"spark-worker", "spark-workspace"},
    }
    given = {
        service: [each.partition("=")[2] for each in cluster.container(service)["Config"]["Env"]]
        for service in (*SERVICES, "workspace", "detector", "worker", "mlflow")
    }
    for name, secret in cluster.secrets.items():
        found = {service for service in given if secret in given[service]}
        assert found & set(SERVICES) == holders.get(name, set()), name
    assert {each for each in given if cluster.secrets["SPARK_SECRET"] in given[each]} == set(
        SERVICES
    )


def test_the_store_lets_a_worker_use_the_bucket_of_data_only(cluster: Stack) -> None:
    inside = ["exec", "-T", "spark-worker", "python", "-c", USE_STORE]
    assert cluster.compose(*inside).stdout.split() == ["datasets"]


def test_workers_listen_on_the_network_of_the_cluster_only(cluster: Stack) -> None:
    networks = cluster.container("spark-worker")["NetworkSettings"]["Networks"]
    own = networks[f"{cluster.project}_spark"]["IPAddress"]
    listening = cluster.compose(
        "exec", "-T", "spark-worker", "python", "-c", LISTENING
    ).stdout.split()
    # Docker's own name server is on 127.0.0.11.
    assert {each for each in listening if not each.startswith("127.")} == {own}
    details = json.loads(cluster.docker("network", "inspect", f"{cluster.project}_spark").stdout)
    assert details[0]["Internal"]


def test_the_page_is_for_this_machine_and_only_shows(cluster: Stack) -> None:
    for service in SERVICES:
        ports = cluster.container(service)["HostConfig"]["PortBindings"] or {}
        published = [each["HostIp"] for bound in ports.values() for each in bound]
        assert published == (["127.0.0.1"] if service == "spark-master" else [])
    wait_until(lambda: workers(cluster) == WORKERS, "the page shows both workers")
    for worker in json.loads(page(cluster))["workers"]:
        if worker["state"] == "ALIVE":
            assert worker["id"] in page(cluster, f"/proxy/{worker['id']}/")
            with pytest.raises(urllib.error.HTTPError, match="405"):
                page(cluster, "/workers/kill/", f"host={worker['host']}".encode())
    assert workers(cluster) == WORKERS


@pytest.mark.parametrize("name", ["BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"])
def test_an_open_address_with_the_secret_for_development_is_refused(
    cluster: Stack, name: str
) -> None:
    given = {"SPARK_SECRET": "", name: "0.0.0.0"}  # noqa: S104
    run = ["run", "--rm", "--no-deps", "spark-workspace", "true"]
    done = cluster.compose(*run, check=False, env=given)
    assert done.returncode == 1
    assert f"{name} is 0.0.0.0" in done.stderr
    assert "SPARK_SECRET still has its value for development" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("secret", ["", "with a space", "${env:HOME}"])
def test_a_secret_that_cannot_be_written_is_refused(cluster: Stack, secret: str) -> None:
    run = ["run", "--rm", "--no-deps", "-e", f"SPARK_SECRET={secret}", "spark-workspace"]
    done = cluster.compose(*run, "true", check=False)
    assert done.returncode == 1
    assert "SPARK_SECRET must be of letters" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stranger", STRANGERS)
def test_whoever_does_not_know_the_secret_gets_nothing(
    cluster: Stack, strangers: dict[str, subprocess.Popen[str]], stranger: str
) -> None:
    out, err = strangers[stranger].communicate(timeout=150)
    assert strangers[stranger].returncode == 1
    assert out == ""
    sentence = err.strip().splitlines()[-1]
    assert "ClusterRefusedError: The Spark cluster of /tmp/stranger-" in sentence
    assert "SPARK_SECRET" in sentence
    known = json.loads(page(cluster))
    seen = [each["name"] for each in known["activeapps"] + known["completedapps"]]
    assert "stranger" not in seen
