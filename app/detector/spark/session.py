"""A session of Spark, as detection needs it."""

import os
import shutil
import sys
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

__all__ = ["session"]

_APP = Path(__file__).parents[2]
_JAVA = "Detection on Spark needs Java 17: install it (Debian: apt install openjdk-17-jre-headless)"
_CONFIG = {
    # Dates are counted on the clock of this zone.
    "spark.sql.session.timeZone": "UTC",
    "spark.python.daemon.module": "detector.spark.daemon",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_APP}/detector/spark/log4j2.xml",
}
# Of one machine: nothing listens for others.
_LOCAL = {
    "spark.master": "local[*]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # Spark's own 200 are for a cluster.
    "spark.sql.shuffle.partitions": str(4 * (os.cpu_count() or 1)),
}


class JavaMissingError(RuntimeError):
    """There is no Java, or too old a one; the message says what to do."""


class ClusterRefusedError(RuntimeError):
    """The cluster does not take the program in; the message says what to do."""


def session(name: str = "detector", **config: str) -> SparkSession:
    """Return a session on the cluster that ``SPARK_CONF_DIR`` names, or else on this machine.

    Parameters
    ----------
    name : str
        What the pages of the cluster call it.
    **config
        Settings of Spark, each ``_`` of a name standing for a dot.

    Raises
    ------
    JavaMissingError
    ClusterRefusedError
        After the minute in which Spark tries to reach the cluster's master.
    """
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        raise JavaMissingError(f"{_JAVA}, or set JAVA_HOME.")
    settings = dict(_CONFIG)
    if "SPARK_CONF_DIR" not in os.environ:
        settings |= _LOCAL
        # The workers are of this Python, and find the package where it is.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(_APP), *filter(None, paths)]))
    settings |= {each.replace("_", "."): value for each, value in config.items()}
    builder = SparkSession.builder.appName(name)
    for each, value in settings.items():
        builder = builder.config(each, value)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise JavaMissingError(
            f"{_JAVA}. The one here ended at once: its own words stand above."
        ) from error
    except Py4JJavaError as error:
        if "SPARK_CONF_DIR" not in os.environ:
            raise
        raise ClusterRefusedError(
            f"The Spark cluster of {os.environ['SPARK_CONF_DIR']} does not take this program in. "
            "Either no master answers at the address there (`make up-spark` starts the stack's), "
            "or the program's secret is not the cluster's: in the stack both have SPARK_SECRET, "
            "and `make up-spark` gives it to both anew."
        ) from error
