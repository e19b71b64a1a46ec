"""What the registry tells of a model: its versions, their aliases, and what their runs measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from detector.tracking import server
from detector.tracking.registry import aliases_of

__all__ = ["Registered", "Version", "registered"]

# The newest ones of a model, and the metrics of each, by name.
_MOST_VERSIONS, _MOST_METRICS = 100, 50
# How many runs, and how many experiments, MLflow is asked for at once.
_RUNS, _EXPERIMENTS = 100, 1000
_LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes
    ----------
    created : datetime
        In UTC.
    metrics : mapping
        Of the run that logged it, by name: at most 50.
    link : str or None
        Its page in MLflow; None where MLflow is a file.
    """

    version: int
    aliases: Sequence[str]
    created: datetime
    description: str
    metrics: Mapping[str, float]
    link: str | None


@dataclass(frozen=True)
class Registered:
    """A registered model.

    Attributes
    ----------
    aliases : mapping
        From alias to version.
    versions : sequence of Version
        The newest first: at most 100.
    has_more : bool
        Whether there are older ones.
    """

    name: str
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: Sequence[Version] = ()
    has_more: bool = False


def registered(names: Iterable[str]) -> list[Registered]:
    """Return what the registry tells of the models, in their order; nothing of one it lacks."""
    client = MlflowClient()
    # One more than are told of says whether there are more.
    found = {
        name: client.search_model_versions(
            f"name = '{name}'",
            max_results=_MOST_VERSIONS + 1,
            order_by=["version_number DESC"],
        )
        for name in names
    }
    runs = {each.run_id for versions in found.values() for each in versions if each.run_id}
    metrics = _metrics(client, sorted(runs))
    return [_registered(name, versions, metrics) for name, versions in found.items()]


def _registered(
    name: str, found: Sequence[ModelVersion], metrics: Mapping[str, Mapping[str, float]]
) -> Registered:
    if not found:
        return Registered(name)
    aliases = aliases_of(name)
    versions = [
        Version(
            int(each.version),
            sorted(alias for alias, version in aliases.items() if version == int(each.version)),
            datetime.fromtimestamp(each.creation_timestamp / 1e3, UTC),
            (each.description or "")[:_LONGEST_TEXT],
            metrics.get(each.run_id or "", {}),
            _link(name, each.version),
        )
        for each in found[:_MOST_VERSIONS]
    ]
    return Registered(name, aliases, versions, len(found) > _MOST_VERSIONS)


def _metrics(client: MlflowClient, runs: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the metrics of each run. A version does not say in which experiment its run is."""
    if not runs:
        return {}
    experiments = [
        each.experiment_id for each in client.search_experiments(max_results=_EXPERIMENTS)
    ]
    metrics = {}
    for start in range(0, len(runs), _RUNS):
        some = ", ".join(f"'{run}'" for run in runs[start : start + _RUNS])
        for run in client.search_runs(
            experiments, filter_string=f"attributes.run_id IN ({some})", max_results=_RUNS
        ):
            first = sorted(run.data.metrics.items())[:_MOST_METRICS]
            metrics[run.info.run_id] = dict(first)
    return metrics


def _link(name: str, version: int | str) -> str | None:
    address = server.public_address()
    return address and f"{address}/#/models/{quote(name, safe='')}/versions/{version}"
