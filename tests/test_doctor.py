"""`scripts/doctor` reads .env as Compose does, and says what it can where there is no engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from diagnosis import lines
from services import ROOT

SECRETS = """\
MYSQL_PASSWORD=0123456789abcdef
export MYSQL_ROOT_PASSWORD = "0123456789abcdef"  # quoted
MINIO_ROOT_USER='user'
MINIO_ROOT_PASSWORD=0123456789abcdef  # a comment
MLFLOW_STORE_SECRET=replaced below
MLFLOW_STORE_SECRET=0123456789abcdef
  DETECTOR_STORE_SECRET=0123456789abcdef
SPARK_SECRET=0123456789abcdef
GRAFANA_ADMIN_PASSWORD=0123456789abcdef
"""


class Checkout:
    """A checkout with an .env of the test's own, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("scripts", "minio"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("docker-compose.yml", ".env.example", "Makefile"):
            shutil.copy(ROOT / name, folder)
        self.programs = folder / "programs"
        self.programs.mkdir()
        for place in ("/usr/bin", "/bin"):
            for program in Path(place).iterdir():
                link = self.programs / program.name
                if program.is_file() and "docker" not in program.name and not link.exists():
                    link.symlink_to(program)

    def settings(self, text: str, mode: int = 0o600) -> None:
        (self.folder / ".env").write_text(text)
        (self.folder / ".env").chmod(mode)

    def docker(self, script: str) -> None:
        program = self.programs / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def ask(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "scripts" / "doctor"],
            env={"PATH": str(self.programs), "HOME": os.environ.get("HOME", "/"), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def says(self, **environment: str) -> dict[str, tuple[str, str]]:
        """Return the state and the text of each line, by its name; the text has what to do."""
        return lines(self.ask(**environment).stdout)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_secrets_are_read_as_compose_reads_them(checkout: Checkout) -> None:
    checkout.settings(SECRETS)
    told = checkout.says()
    assert told["secrets"] == ("ok", "each is set, and none is the one for development")
    assert told[".env"][0] == "ok"
    # The environment goes before .env, as it does for Compose.
    state, text = checkout.says(MYSQL_PASSWORD="development-only")["secrets"]  # noqa: S106
    assert state == "fail"
    assert "MYSQL_PASSWORD" in text
    assert "MLFLOW_STORE_SECRET" not in text
    assert "make up" in text


def test_a_secret_that_is_missing_or_short_is_named_and_never_shown(checkout: Checkout) -> None:
    checkout.settings(SECRETS.replace("SPARK_SECRET=0123456789abcdef", ""))
    assert "everybody knows: SPARK_SECRET ->" in checkout.says()["secrets"][1]
    checkout.settings(SECRETS.replace("SPARK_SECRET=0123456789abcdef", "SPARK_SECRET=sesame"))
    done = checkout.ask()
    state, text = lines(done.stdout)["secrets"]
    assert (state, text.split(":")[0]) == ("warn", "SPARK_SECRET")
    assert "sesame" not in done.stdout + done.stderr
    assert "0123456789abcdef" not in done.stdout + done.stderr


def test_an_open_address_needs_secrets_and_keys(checkout: Checkout) -> None:
    checkout.settings("BIND_ADDRESS=0.0.0.0\n")
    told = checkout.says()
    assert "BIND_ADDRESS lets others in" in told["secrets"][1]
    assert told["API keys"][0] == "fail"
    assert "set API_KEYS" in told["API keys"][1]
    checkout.settings("BIND_ADDRESS=0.0.0.0\nAPI_KEYS=0123456789abcdef,short\n")
    assert "fewer than 16" in checkout.says()["API keys"][1]
    checkout.settings("BIND_ADDRESS=0.0.0.0\nAPI_KEYS=0123456789abcdef,fedcba9876543210\n")
    assert checkout.says()["API keys"][0] == "ok"


def test_a_name_that_nothing_reads_is_named(checkout: Checkout) -> None:
    checkout.settings(SECRETS + "API_KEY=0123456789abcdef\nCOMPOSE_PROFILES=spark\n")
    state, text = checkout.says()[".env"]
    assert state == "warn"
    assert "nothing here reads: API_KEY ->" in text


def test_every_setting_of_the_example_is_known(checkout: Checkout) -> None:
    example = (ROOT / ".env.example").read_text()
    checkout.settings(re.sub(r"^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE))
    assert checkout.says()[".env"][0] == "ok"


def test_settings_that_others_can_read_fail(checkout: Checkout) -> None:
    checkout.settings(SECRETS, 0o644)
    state, text = checkout.says()[".env"]
    assert state == "fail"
    assert "chmod 600 .env" in text


def test_without_docker_it_goes_on_with_what_can_be_checked(checkout: Checkout) -> None:
    checkout.settings(SECRETS)
    done = checkout.ask()
    told = lines(done.stdout)
    assert done.returncode == 1
    assert told["engine"][0] == "fail"
    assert "install Docker" in told["engine"][1]
    assert {"disk: checkout", "memory", "clock", "secrets", "backup"} <= set(told)
    assert done.stdout.splitlines()[-1].startswith("fail: engine.")
    assert done.stderr == ""


def test_an_engine_that_does_not_answer_is_told_with_its_reason(checkout: Checkout) -> None:
    checkout.docker("echo 'permission denied while trying to connect to the socket' >&2; exit 1")
    assert "group docker" in checkout.says()["engine"][1]
    checkout.docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert "Cannot connect to the Docker daemon" in checkout.says()["engine"][1]


def test_versions_that_are_too_old_fail(checkout: Checkout) -> None:
    checkout.docker(
        'case "$*" in "version "*) echo "19.03.15 linux/amd64" ;; '
        '"compose version --short") echo v2.20.3 ;; *) exit 1 ;; esac'
    )
    told = checkout.says()
    assert told["engine"][0] == "fail"
    assert "20.10" in told["engine"][1]
    # Only the overlay has tags of Compose that are newer.
    assert told["compose"][0] == "warn"
    assert told["buildx"][0] == "fail"
    overlay = "docker-compose.yml:minio/seaweedfs.yml"
    assert checkout.says(COMPOSE_FILE=overlay)["compose"][0] == "fail"


# An engine whose stack has one one-shot, and which does not say where it keeps things.
ONE_SHOT = r"""
case "$*" in
    "version "*) echo "24.0.0 linux/amd64" ;;
    "compose version --short") echo 2.30.0 ;;
    "buildx version") echo "buildx v0.13.1" ;;
    "compose config") printf 'name: p\nservices:\n  migrate:\n    restart: "no"\n' ;;
    "compose config --services") printf 'migrate\ndb\n' ;;
    "ps -aq "*) echo 1 ;;
    "inspect -f"*)
        echo "migrate|/p-1|exited||CODE|false|0|h|"
        echo "db|/p-2|running|healthy|0|false|0|h|" ;;
    "logs --tail 1 "*) echo "no such column" ;;
    "info "*) exit 1 ;;
esac
"""


def test_a_one_shot_that_failed_fails_with_what_it_said_last(checkout: Checkout) -> None:
    checkout.settings(SECRETS)
    checkout.docker(ONE_SHOT.replace("CODE", "3"))
    told = checkout.says()
    assert told["migrate"][0] == "fail"
    assert "exit code 3, and said last: no such column" in told["migrate"][1]
    assert told["db"] == ("ok", "running, healthy")
    checkout.docker(ONE_SHOT.replace("CODE", "0"))
    assert checkout.says()["migrate"] == ("ok", "it has done its work")


def test_an_engine_that_does_not_say_where_its_disk_is_is_not_well(checkout: Checkout) -> None:
    checkout.settings(SECRETS)
    checkout.docker(ONE_SHOT)
    assert checkout.says()["disk: Docker"][0] == "fail"


@pytest.mark.parametrize(
    ("hours", "failed", "state", "advice"),
    [
        (3, 0, "ok", ""),
        (73, 0, "warn", "make backup"),
        (3, 1, "fail", "make backup"),
    ],
)
def test_the_last_backup_is_told(
    checkout: Checkout, hours: int, failed: int, state: str, advice: str
) -> None:
    assert checkout.says()["backup"][0] == "warn"
    folder = checkout.folder / "elsewhere"
    folder.mkdir()
    (folder / "backup.prom").write_text(
        "# TYPE backup_last_success_timestamp_seconds gauge\n"
        f"backup_last_success_timestamp_seconds {time.time() - hours * 3600:.3f}\n"
        f"backup_last_attempt_failed {failed}\n"
    )
    checkout.settings(f"{SECRETS}BACKUP_FOLDER={folder}\n")
    told = checkout.says()["backup"]
    assert told[0] == state
    assert advice in told[1]
