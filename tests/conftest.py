"""What the tests share: the upstream package, imported in silence, services, and two series."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import services
from filelock import FileLock
from hypothesis import settings
from services import Service, start_detector
from xdist.scheduler import LoadFileScheduling

# As the service does: what is imported stays, and to look through it for garbage takes time.
gc.set_threshold(10_000)

# Threads of torch that wait for one another let others have the core meanwhile. It has to be said
# before torch is loaded, here and in what the tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Those of numpy and scipy wait for one another when they are loaded, in hundreds of processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Spark's Java runs for seconds here: what its second compiler and its threads that collect garbage
# take is more than they save. The one that starts it has no settings but these.
for each in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS"):
    os.environ.setdefault(each, "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# A busy machine fails no test.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

with warnings.catch_warnings():
    # MLflow and the upstream package warn while they are imported, of nothing that is ours.
    warnings.simplefilter("ignore")
    import anomaly_detector  # noqa: F401
    import mlflow.pyfunc

    from detector.tracking import server


# The tests of each share what takes long to start: services, or Spark with what it reads.
TOGETHER = ("tests/spark/", "tests/api/", "tests/clients/", "tests/page/", "tests/backup/")


class Scheduling(LoadFileScheduling):
    """Keeps in one process the tests of a file, and of a folder whose tests share services."""

    def _split_scope(self, nodeid: str) -> str:
        shared = [folder for folder in TOGETHER if nodeid.startswith(folder)]
        return shared[0] if shared else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that stay in one process, so that none of them is left for the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))


@pytest.fixture(scope="session")
def kit() -> Any:
    """Return what starts services and asks them, for tests in any folder."""
    return services


@pytest.fixture(scope="session", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Say where the processes of this run keep what they make once."""
    folder = tmp_path_factory.getbasetemp()
    services.shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Return what starts a service that is stopped after the test."""
    begun: list[Service] = []

    def start(**environment: Any) -> Service:
        folder = tmp_path / str(len(begun))
        if "MLFLOW_TRACKING_URI" not in environment:
            services.prepare(folder)
        begun.append(start_detector(folder, **environment))
        return begun[-1]

    yield start
    for each in begun:
        each.stop()


@pytest.fixture(scope="session")
def empty_store() -> Path:
    """Return a store without runs; MLflow takes seconds to make one."""
    assert services.shared is not None
    folder = services.shared / "empty"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            before = mlflow.get_tracking_uri()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.delenv("MLFLOW_TRACKING_URI", raising=False)
                server.connect()
            mlflow.set_tracking_uri(before)
    return folder / "mlflow.db"


@pytest.fixture
def monthly() -> pd.DataFrame:
    """Return 20 month ends, all 1 but the last, which is 0."""
    months = pd.date_range("1962-01-31", periods=20, freq="ME")
    return pd.DataFrame({"timestamp": months, "value": [1.0] * 19 + [0.0]})


@pytest.fixture
def weekly_season() -> pd.DataFrame:
    """Return 60 days with a season of 7 and one outlier."""
    noise = np.random.default_rng(5)
    values = 50 + 10 * np.sin(2 * np.pi * np.arange(60) / 7) + noise.normal(size=60)
    values[40] += 30
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    return pd.DataFrame({"timestamp": days, "value": values})
