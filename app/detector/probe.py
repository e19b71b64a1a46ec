"""Detect through the service of this container, write to its bucket and ask the queue.

`scripts/doctor` runs it in the stack's container of the endpoint, by ``python -m detector.probe``,
and reads what it prints: a line for each, with a state, a name, what was found and what to do, with
tabs between them.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from cryptography import x509
from pydantic import ValidationError

from detector.jobs.queue import QueueError, queues
from detector.settings import Settings

__all__ = ["main"]

_SECONDS = 5
_EXPIRES_SOON, _EXPIRES_NOW = timedelta(days=14), timedelta(days=2)
_LONG = timedelta(hours=1)
_NAME = "doctor-"
_MONTHS = [f"{1962 + n // 12}-{n % 12 + 1:02}-01T00:00:00Z" for n in range(20)]


class _ProblemError(Exception):
    """What is wrong, and what to do."""

    def __init__(self, found: str, advice: str, state: str = "fail") -> None:
        super().__init__(found)
        self.advice, self.state = advice, state


def main() -> None:
    """Print what each of them answers; all are asked at once."""
    try:
        settings = Settings()
    except ValidationError as error:
        reasons = "; ".join(each["msg"] for each in error.errors(include_input=False))
        _print("fail", "endpoint", reasons, "change it in .env, then make up")
        return
    checks = {"endpoint": _detect, "store: detector": _keep, "queue": _queue}
    if settings.tls or settings.tls_certificate:
        checks["certificate"] = _certificate
    with ThreadPoolExecutor(len(checks)) as pool:
        futures = {name: pool.submit(_told, check, settings) for name, check in checks.items()}
        for name, future in futures.items():
            state, found, advice = future.result()
            _print(state, name, found, advice)


def _print(state: str, *texts: str) -> None:
    sys.stdout.write("\t".join([state, *(" ".join(text.split()) for text in texts)]) + "\n")
    sys.stdout.flush()


def _told(check: Callable[[Settings], str], settings: Settings) -> tuple[str, str, str]:
    try:
        return "ok", check(settings), ""
    except _ProblemError as problem:
        return problem.state, str(problem), problem.advice


def _detect(settings: Settings) -> str:
    """Detect in 20 months, the last of which is wrong, with a key of the service's own."""
    series = [{"timestamp": month, "value": 1.0} for month in _MONTHS]
    series[-1]["value"] = 0.0
    body = json.dumps({"series": series, "granularity": "monthly"}).encode()
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else "any"
    headers = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": key}
    names = [name for name in settings.allowed_hosts if name != "*"]
    if settings.api_keys and names:
        headers["Host"] = names[0]
    scheme = "https" if settings.tls or settings.tls_certificate else "http"
    address = f"{scheme}://127.0.0.1:{settings.port}/anomalydetector/v1.1/timeseries/entire/detect"
    request = urllib.request.Request(address, body, headers)  # noqa: S310 - this container's own
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_any())
    advice = "docker compose logs detector"
    try:
        answer = urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS)
        flags = json.load(answer)["isAnomaly"]
    except urllib.error.HTTPError as error:
        text = error.read(300).decode(errors="replace")
        raise _ProblemError(f"a detection is answered with {error.code}: {text}", advice) from error
    except OSError as error:
        raise _ProblemError(f"no answer: {error}", advice) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _ProblemError(f"its answer is none of the API's: {error!r}", advice) from error
    if flags != [False] * 19 + [True]:
        found = [month for month, flag in zip(_MONTHS, flags, strict=False) if flag]
        raise _ProblemError(
            f"of 20 months, the last of which is wrong, it finds {found}",
            f"look at what the alias '{settings.model_alias}' names in MLflow",
        )
    return "a detection with a key of its own is answered rightly"


def _keep(settings: Settings) -> str:
    """Write an object to the bucket of uploads, read it and delete it."""
    if settings.store_url is None or not settings.data_buckets:
        return "none is set"
    bucket, key, sent = settings.data_buckets[0], _NAME + uuid.uuid4().hex, os.urandom(1024)
    config = Config(
        s3={"addressing_style": "path"},
        connect_timeout=_SECONDS,
        read_timeout=_SECONDS,
        retries={"total_max_attempts": 1},
    )
    s3 = boto3.client("s3", endpoint_url=settings.store_url, config=config)
    try:
        # What an earlier one wrote that got no answer.
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=_NAME).get("Contents", []):
            if entry["LastModified"] < datetime.now(UTC) - _LONG:
                s3.delete_object(Bucket=bucket, Key=entry["Key"])
        s3.put_object(Bucket=bucket, Key=key, Body=sent)
        try:
            found = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        finally:
            s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        user = os.environ.get("AWS_ACCESS_KEY_ID", "")
        raise _ProblemError(
            f"the user '{user}' cannot use the bucket '{bucket}': {error}",
            "docker compose ps minio; docker compose logs minio. Where it refuses the key: "
            "`make up` gives DETECTOR_STORE_SECRET to all anew",
        ) from error
    if found != sent:
        raise _ProblemError("an object that was written is read as another", "restore a backup")
    return f"an object written to the bucket '{bucket}', read and deleted"


def _queue(_: Settings) -> str:
    """See that the queue can be written to, and how long the oldest job has waited in it."""
    try:
        waiting = set()
        for queue in queues().values():
            queue.check()
            waiting |= queue.waiting()
    except QueueError as error:
        raise _ProblemError(str(error), "docker compose logs worker") from error
    if not waiting:
        return "it can be written to, and nothing waits"
    # MLflow's client takes long to import.
    from detector.tracking import runs, server

    try:
        server.connect()
        begun = [job.updated for job in runs.unfinished() if job.identity in waiting]
    except Exception as error:
        if not (isinstance(error, server.TrackingError) or server.is_outage(error)):
            raise
        raise _ProblemError(
            f"waiting jobs: {len(waiting)}; for how long, MLflow does not say: {error}",
            "look at the line of the tracking server",
        ) from error
    oldest = max((datetime.now(UTC) - each for each in begun), default=timedelta())
    found = (
        f"waiting jobs: {len(waiting)}, the oldest for {oldest.total_seconds() / 60:.0f} minutes"
    )
    if oldest > _LONG:
        raise _ProblemError(
            found,
            "docker compose logs worker; where it works, raise DETECTOR_TRAININGS or "
            "DETECTOR_BATCH_DETECTIONS, or start more workers",
            state="warn",
        )
    return found


def _certificate(settings: Settings) -> str:
    """Look when the certificate expires that the service shows."""
    try:
        shown = ssl.get_server_certificate(("127.0.0.1", settings.port), timeout=_SECONDS)
    except OSError as error:
        raise _ProblemError(
            f"the service shows none: {error}", "docker compose logs detector"
        ) from error
    end = x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc
    left = end - datetime.now(UTC)
    if left < _EXPIRES_SOON:
        raise _ProblemError(
            f"it expires on {end:%Y-%m-%d %H:%M} UTC",
            "put a new one in place: the service reads it within a minute (docs/tls.md)",
            state="fail" if left < _EXPIRES_NOW else "warn",
        )
    return f"it is good until {end:%Y-%m-%d}"


def _any() -> ssl.SSLContext:
    # In here it does not matter whose certificate it is.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


if __name__ == "__main__":
    main()
