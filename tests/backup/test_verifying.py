"""What would not restore is found, and named."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from backup_kit import Kit


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite_dump(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the dump, and what the manifest says of it."""
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    manifest = path.with_name("manifest.json")
    said = json.loads(manifest.read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    said["files"][path.name] = {"size": path.stat().st_size, "sha256": digest}
    manifest.write_text(json.dumps(said))


def test_every_damage_is_named(kit: Kit) -> None:
    backup = Path(kit.create())
    said = kit.run("verify", str(backup)).splitlines()[-1]
    assert said.startswith(f"{backup} would restore: 1,005 rows, 4 objects (3 different)")
    largest = max(kit.folder.glob("objects/*/*"), key=lambda path: path.stat().st_size)
    damages: list[tuple[Path, Callable[[Path], object], str]] = [
        (largest, change_a_byte, "datasets/sensors.csv (objects/"),
        (largest, cut, "has 19,999 bytes in place of 20,000"),
        (largest, Path.unlink, "is missing"),
        (backup / "queue.db", change_a_byte, "queue.db has another content"),
        (backup / "objects.jsonl.gz", cut, "objects.jsonl.gz has"),
        (backup / "database.sql.gz", Path.unlink, "database.sql.gz is missing"),
        (
            backup / "database.sql.gz",
            lambda path: rewrite_dump(path, lambda dump: dump[: len(dump) // 2]),
            "database.sql.gz ends before the database does",
        ),
        (backup / "manifest.json", halve, "manifest.json is damaged"),
        (backup / "manifest.json", Path.unlink, "has no manifest.json, so it is no whole backup"),
        (
            backup / "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"format": 1', '"format": 2')),
            "has format 2",
        ),
    ]
    manifest = (backup / "manifest.json").read_bytes()
    for path, damage, says in damages:
        before = path.read_bytes()
        damage(path)
        assert says in kit.refused("verify", str(backup)), says
        path.write_bytes(before)
        (backup / "manifest.json").write_bytes(manifest)
    assert "would restore" in kit.run("verify", str(backup))


@pytest.mark.parametrize("source", ["{folder}", "{folder}/objects", "backups/last", "s3://bucket"])
def test_what_is_no_backup_is_refused(kit: Kit, source: str) -> None:
    said = kit.refused("verify", source.format(folder=kit.folder))
    assert "is no backup: name one as backups/2026-11-27T08-28-17Z" in said


def test_one_that_is_not_there_is_refused(kit: Kit) -> None:
    said = kit.refused("verify", f"{kit.folder}/2026-01-01T00-00-00Z")
    assert said == f"backup: There is no backup {kit.folder}/2026-01-01T00-00-00Z.\n"
