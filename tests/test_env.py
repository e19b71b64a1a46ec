"""What `make` hands to its scripts, and the settings that `scripts/env` keeps for their owner."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from services import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("env", "settings"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    return tmp_path


def run(checkout: Path, *arguments: str) -> str:
    return called(checkout, *arguments).stderr


def called(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts" / "env", *arguments],
        env={name: value for name, value in os.environ.items() if name != "COMPOSE_FILE"},
        check=True,
        capture_output=True,
        text=True,
    )


def kept(checkout: Path) -> dict[str, str]:
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_secrets_are_made_once_and_for_their_owner(checkout: Path) -> None:
    assert run(checkout, "secrets") == ""
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600
    made = kept(checkout)
    secrets = [name for name in made if name.endswith(("PASSWORD", "SECRET"))]
    assert {"MLFLOW_STORE_SECRET", "DETECTOR_STORE_SECRET", "MINIO_ROOT_PASSWORD"} < set(secrets)
    assert len({made[name] for name in secrets}) == len(secrets) == 7
    assert all(len(made[name]) == 48 for name in secrets)
    assert run(checkout, "secrets") == ""
    assert kept(checkout) == made


def test_an_example_copied_by_hand_becomes_its_owners(checkout: Path) -> None:
    shutil.copy(ROOT / ".env.example", checkout / ".env")
    (checkout / ".env").chmod(0o644)
    assert "only its owner" in run(checkout, "secrets")
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600
    made = kept(checkout)
    assert made["BIND_ADDRESS"] == made["MLFLOW_BIND_ADDRESS"] == "127.0.0.1"
    assert len(made["DETECTOR_STORE_SECRET"]) == 48


def test_a_stack_from_before_gets_what_is_new(checkout: Path) -> None:
    (checkout / ".env").write_text("MYSQL_PASSWORD=old\nMINIO_ROOT_PASSWORD=old\n")
    (checkout / ".env").chmod(0o600)
    run(checkout, "secrets")
    made = kept(checkout)
    assert (made["MYSQL_PASSWORD"], made["MINIO_ROOT_PASSWORD"]) == ("old", "old")
    assert len(made["MLFLOW_STORE_SECRET"]) == len(made["DETECTOR_STORE_SECRET"]) == 48
    assert made["WORKSPACE_HIDES"] == "/workspace/.env"


@pytest.mark.parametrize("has_caddy", [True, False])
def test_accounts_and_a_key_are_made_where_caddy_is_used(checkout: Path, has_caddy: bool) -> None:
    files = "docker-compose.yml" + (":caddy/caddy.yml" if has_caddy else "")
    (checkout / ".env").write_text(f"COMPOSE_FILE={files}\nCADDY_HOST=plant.example\n")
    (checkout / ".env").chmod(0o600)
    run(checkout, "secrets")
    made = kept(checkout)
    names = {"MLFLOW_ADMIN_PASSWORD", "MLFLOW_WORKSPACE_PASSWORD", "MLFLOW_DETECTOR_PASSWORD"}
    names |= {"MLFLOW_FLASK_SERVER_SECRET_KEY", "API_KEYS"}
    assert names & made.keys() == (names if has_caddy else set())
    assert len({made[name] for name in names & made.keys()}) == (5 if has_caddy else 0)
    told = called(checkout, "addresses").stdout
    assert ("https://plant.example:443/detector/" in told) == has_caddy
    assert ("http://localhost:5000" in told) == (not has_caddy)
    assert not [name for name in names & made.keys() if made[name] in told]


def test_the_pages_of_a_profile_are_told_where_it_is_used(checkout: Path) -> None:
    (checkout / ".env").write_text("COMPOSE_PROFILES=spark,monitoring\nGRAFANA_PORT='3100'\n")
    (checkout / ".env").chmod(0o600)
    told = called(checkout, "addresses").stdout
    for line in ("Spark: http://localhost:8090", "Grafana: http://localhost:3100,"):
        assert line in told
    (checkout / ".env").write_text("")
    assert "Spark" not in called(checkout, "addresses").stdout


@pytest.mark.parametrize("name", ["o'brien; exit", 'a "b"', "$HOME $$ `id` \\"])
def test_make_hands_names_on_as_they_are(name: str) -> None:
    given = ["GRANT=maria", f"EXPERIMENT={name}", "PERMISSION=READ"]
    # `make test` tells a make below it so, and that one would say which folder it is in.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.check_output(
        ["make", "-n", "accounts", *given], cwd=ROOT, text=True, env=alone
    )
    assert shlex.split(shown) == ["scripts/accounts", *given]


@pytest.mark.parametrize("given", ["environment", ".env"])
def test_the_folder_that_is_watched_is_of_those_who_make_backups(
    checkout: Path, given: str
) -> None:
    for name in ("Makefile", "scripts/backup"):
        shutil.copy(ROOT / name, checkout / name)
    settings = {"WORKSPACE_UID": "1234", "WORKSPACE_GID": "1234", "BACKUP_FOLDER": "./kept here"}
    if given == ".env":
        # As Compose reads it.
        text = "".join(f'export {name} = "{value}"  # said\n' for name, value in settings.items())
        (checkout / ".env").write_text(text)
        settings = {}
    environment = os.environ | settings
    subprocess.run(["make", "watched"], cwd=checkout, env=environment, check=True)
    made = (checkout / "kept here").stat()
    assert made.st_mode & 0o777 == 0o711
    assert made.st_uid == (1234 if os.geteuid() == 0 else os.geteuid())
    assert not (checkout / "backups").exists()
