"""Starts SeaweedFS with an identity for root and for each service that has a bucket of its own.

The secrets come from the environment, and go into a file that only SeaweedFS reads. With ``health``
it asks each part of a SeaweedFS that runs whether it is well.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

IDENTITIES = Path("/tmp/identities.json")  # noqa: S108 - a file system of the container's own
# What the services may do in their bucket; Tagging and the like they do not need.
ACTIONS = ("Read", "Write", "List")


def identity(name: str, secret: str, actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": name, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": actions}


def of_a_bucket(name: str, secret: str, bucket: str) -> dict[str, object]:
    return identity(name, secret, [f"{action}:{bucket}" for action in ACTIONS])


# Master, volume server, filer and S3; each answers 503 where a part that it needs is away.
HEALTH = (
    "http://127.0.0.1:9333/cluster/healthz",
    "http://127.0.0.1:8080/healthz",
    "http://127.0.0.1:8888/healthz",
    "http://127.0.0.1:9000/healthz",
)


def health() -> None:
    for address in HEALTH:
        try:
            urllib.request.urlopen(address, timeout=4).close()  # noqa: S310
        except OSError as error:
            sys.exit(f"{address}: {error}")


def main() -> None:
    given = os.environ
    identities = [
        identity(given["MINIO_ROOT_USER"], given["MINIO_ROOT_PASSWORD"], ["Admin"]),
        of_a_bucket("mlflow", given["MLFLOW_STORE_SECRET"], "mlflow"),
        of_a_bucket("detector", given["DETECTOR_STORE_SECRET"], "datasets"),
    ]
    IDENTITIES.touch(mode=0o600)
    IDENTITIES.write_text(json.dumps({"identities": identities}))
    command = [
        "/opt/venv/bin/weed",
        "server",
        "-dir=/data",
        # Its parts trust each other without a key, so nobody else reaches any but S3.
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3.ip.bind=0.0.0.0",
        "-s3",
        "-s3.port=9000",
        f"-s3.config={IDENTITIES}",
        # What it tells Prometheus, which asks without a key.
        "-metricsIp=0.0.0.0",
        "-metricsPort=9327",
        # What else would listen where S3 does.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer",
        # One master, which waits for no others; as many volumes as the disk has room for. No two
        # buckets share one, so they are small: a disk of a few GB has some for each.
        "-master.peers=none",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=0",
    ]
    # By itself a bucket takes seven volumes at once, which may be all that are left.
    os.environ["WEED_MASTER_VOLUME_GROWTH_COPY_1"] = "1"
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    health() if sys.argv[1:] == ["health"] else main()
