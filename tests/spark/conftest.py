"""One session of Spark for all tests of this folder, on two cores of this machine.

A task that fails runs a second time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    if shutil.which("java") is None:
        pytest.skip("there is no Java (Debian: openjdk-17-jre-headless)")
    from detector.spark.session import session

    found = session("tests", spark_master="local[2,2]", spark_sql_shuffle_partitions="2")
    yield found
    found.stop()
