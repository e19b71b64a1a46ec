"""Starts a part of the Spark cluster: ``master``, ``worker``, or a command that uses the cluster.

The secret comes from the environment, and goes into a file that only Spark reads: on the command
line of a process, and in what Spark prints of its settings, it never stands. ``health master`` and
``health worker`` are the health checks.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import sys
import urllib.request
from pathlib import Path

from detector.addresses import is_loopback

# What docker-compose.yml falls back to when there is no .env.
DEVELOPMENT_SECRET = "development-only"  # noqa: S105
# The master's name on the network of the cluster and on no other: it is on that of its page too.
MASTER = "spark-cluster"
PAGE = f"http://{MASTER}:8080/json/"
DEFAULTS = Path(__file__).with_name("spark-defaults.conf")
# The folder of each worker of this host, for what does not fit into memory.
SCRATCH = Path("/var/lib/spark")
UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class SetupError(Exception):
    """A message for the operator: what is wrong, and what to do."""


def checked_secret() -> str:
    """Return the secret; refuse the one for development where others can reach the stack."""
    secret = os.environ.get("SPARK_SECRET", "")
    advice = "Set one of your own in .env (`make up-spark` writes a random one on first use)"
    if not re.fullmatch(r"[\w.@:/%+=-]+", secret, re.ASCII):
        raise SetupError(
            f"SPARK_SECRET must be of letters, digits and the signs _.@:/%+=- only. {advice}."
        )
    for name in ("BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"):
        address = os.environ.get(name, "127.0.0.1")
        if secret == DEVELOPMENT_SECRET and not is_loopback(address):
            raise SetupError(
                f"{name} is {address}, which others can reach, and SPARK_SECRET still has its "
                f"value for development. {advice}, or bind to 127.0.0.1."
            )
    return secret


def own_address() -> str:
    """Return this container's address on the network of the cluster."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((MASTER, 7077))  # of a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError as error:
        raise SetupError(
            f"There is no Spark master to be found ({error}): start it with `make up-spark`."
        ) from error


def heap_mebibytes() -> int:
    """Return how much of a worker's memory is the heap of its executor.

    Two thirds are for Spark itself and the Python processes, of which each task has one.
    """
    given = os.environ["SPARK_WORKER_MEMORY"]
    found = re.fullmatch(r"([\d.]+)([bkmg]?)b?", given.lower())
    if not found:
        raise SetupError(f"SPARK_WORKER_MEMORY is {given}: write such as 3g or 1500m.")
    return int(float(found[1]) * UNITS[found[2]] / 3) >> 20


def write_settings(secret: str, address: str, heap: int) -> None:
    """Write what every JVM in here reads when it starts."""
    settings = {
        "spark.authenticate.secret": secret,
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.executor.memory": f"{heap}m",
    }
    path = Path(os.environ["SPARK_CONF_DIR"], "spark-defaults.conf")
    path.touch(mode=0o600)
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    path.write_text(DEFAULTS.read_text() + "".join(lines))


def own_folder() -> Path:
    """Make this worker's folder, and remove those of workers that are gone.

    A worker holds a lock on its folder for as long as it lives, so Spark's process inherits it.
    """
    one_at_a_time = os.open(SCRATCH, os.O_RDONLY)  # until this process becomes Spark's
    fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
    for folder in SCRATCH.iterdir():
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
    own = SCRATCH / socket.gethostname()
    own.mkdir()
    handle = os.open(own, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.set_inheritable(handle, True)
    return own


def health(part: str) -> None:
    """See that the master answers, and that it knows the worker in here."""
    try:
        with urllib.request.urlopen(PAGE, timeout=8) as answer:
            known = json.load(answer)
    except (OSError, ValueError) as error:
        raise SetupError(f"{PAGE} got no answer: {error}") from error
    workers = {each["host"] for each in known["workers"] if each["state"] == "ALIVE"}
    if known["status"] != "ALIVE" or (part == "worker" and own_address() not in workers):
        raise SetupError(f"The master is {known['status']} and knows the workers {workers}.")


def start(command: list[str]) -> None:
    """Become the part, or the command."""
    secret, address, heap = checked_secret(), own_address(), heap_mebibytes()
    write_settings(secret, address, heap)
    if command == ["master"]:
        command = ["spark-class", "org.apache.spark.deploy.master.Master", "--host", address]
    elif command == ["worker"]:
        folder = str(own_folder())
        os.environ |= {
            # It and its executors listen on the network of the cluster only.
            "SPARK_LOCAL_IP": address,
            "SPARK_WORKER_MEMORY": f"{heap}m",
            "SPARK_WORKER_DIR": folder,
            "SPARK_LOCAL_DIRS": folder,
        }
        kind = "org.apache.spark.deploy.worker.Worker"
        command = ["spark-class", kind, "--host", address, "spark://spark-master:7077"]
    os.execvp(command[0], command)  # noqa: S606


def main() -> None:
    """Run what the command line names."""
    command = sys.argv[1:]
    if not command:
        sys.exit("usage: start.py master | worker | COMMAND... | health master | health worker")
    try:
        if command[0] == "health":
            health(command[1])
        else:
            start(command)
    except SetupError as refusal:
        sys.exit(f"spark: {refusal}")


if __name__ == "__main__":
    main()
