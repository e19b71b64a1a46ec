"""Where the walk-through writes: over answers of before, and over nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

import fleet
from detector import DetectionError


def test_it_writes_over_answers_of_before_alone(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("detected_by", "price"):
        (tmp_path / name).mkdir()
        pd.DataFrame({name: ["x"]}).to_parquet(tmp_path / name / "part.parquet")
    (tmp_path / "empty").mkdir()
    for free in ("nowhere", "empty", "detected_by"):
        fleet.check_out(spark, str(tmp_path / free))
    with pytest.raises(DetectionError, match="price', where other things lie than answers"):
        fleet.check_out(spark, str(tmp_path / "price"))
