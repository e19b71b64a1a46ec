"""The experiments of MLflow: made once, to be shown as those of models that are trained."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

# Which of its views MLflow's page opens an experiment in.
_KIND, _TRAINING = "mlflow.experimentKind", "custom_model_development"


def ensure_experiment(name: str) -> str:
    """Return the id of an experiment, which is made where there is none."""
    client = MlflowClient()
    experiment: Experiment | None = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, tags={_KIND: _TRAINING}))
        except MlflowException as error:
            # Another process was faster.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return ensure_experiment(name)
    if _KIND not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, _KIND, _TRAINING)
    return str(experiment.experiment_id)
