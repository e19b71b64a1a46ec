"""A restore brings all back, keeps what is there unless told, and says where it ended half-way."""

from __future__ import annotations

import os

from backup_kit import Kit
from services import until


def test_an_empty_stack_gets_all_back(kit: Kit) -> None:
    before = kit.content()
    backup = kit.create()
    kit.empty()
    assert "can be restored" in kit.run("check", backup, KNOWN_SCHEMAS="aaa abc")
    printed = kit.run("restore", backup)
    assert kit.content() == before
    assert "database: 1,005 rows as in the backup" in printed
    assert "bucket mlflow: 3 objects, 18.0 kB, as in the backup" in printed
    # The trigger works.
    with kit.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE metrics SET value = 21")
    assert kit.rows("metrics")[0] == (1, 42.0)


def test_data_is_replaced_only_when_told(kit: Kit) -> None:
    backup = kit.create()
    before = kit.content()
    kit.put("mlflow", "1/c/later.txt", b"later")
    kit.put("datasets", "sensors.csv", b"another")
    with kit.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE later (id INT)")
        connection.exec_driver_sql("DELETE FROM metrics")
    later = kit.content()
    for command in ("check", "restore"):
        said = kit.refused(command, backup)
        assert "This stack has data: 4 rows in the database, 4 objects in the bucket mlflow" in said
        assert "OVERWRITE=yes" in said
    assert kit.content() == later
    printed = kit.run("restore", backup, "--overwrite")
    assert "1 that are not in the backup were removed" in printed
    assert kit.content() == before


def test_a_job_alone_is_data(kit: Kit) -> None:
    backup = kit.create()
    queue = kit.queue.read_bytes()
    kit.empty()
    kit.queue.write_bytes(queue)
    assert "This stack has data: rows in queue.db" in kit.refused("check", backup)


def test_a_newer_schema_is_refused_before_anything_changes(kit: Kit) -> None:
    backup = kit.create()
    before = kit.content()
    said = kit.refused("restore", backup, "--overwrite", KNOWN_SCHEMAS="aaa aab")
    assert "whose schema abc the MLflow of this stack does not know" in said
    assert kit.content() == before


def test_one_that_is_killed_leaves_a_stack_that_says_so(kit: Kit) -> None:
    for place in range(8):
        kit.put("mlflow", f"1/a/large-{place}", os.urandom(6 << 20))
    backup = kit.create()
    before = kit.content()
    kit.empty()
    with kit.start("restore", backup) as program:
        until(lambda: kit.objects("mlflow"), "objects come back", pause=0.01)
        program.kill()
    assert len(kit.objects("mlflow")) < len(before["objects"][0])
    with kit.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW TABLES").scalar() == "restore_unfinished"
    assert "was cut off half-way" in kit.refused("create")
    assert "was cut off half-way" in kit.refused("restore", backup)
    kit.run("restore", backup, "--overwrite")
    assert kit.content() == before


def test_accounts_come_back_where_the_stack_has_them(kit: Kit) -> None:
    accounts = {"BACKUP_ACCOUNTS": str(kit.queue.with_name("accounts.db"))}
    kit.queue.with_name("accounts.db").write_bytes(kit.queue.read_bytes())
    backup = kit.create(**accounts)
    kit.empty()
    kit.queue.with_name("accounts.db").unlink()
    assert "accounts.db is in the backup, but this stack has no place" in kit.run("restore", backup)
    assert "accounts.db: 1 rows" in kit.run("restore", backup, "--overwrite", **accounts)


def test_a_damaged_queue_is_data_and_is_replaced(kit: Kit) -> None:
    backup = kit.create()
    before = kit.content()
    kit.empty()
    kit.queue.write_bytes(b"no database" * 1000)
    assert "rows in queue.db" in kit.refused("check", backup)
    kit.run("restore", backup, "--overwrite")
    assert kit.content() == before
