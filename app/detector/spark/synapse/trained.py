"""The models of many variables in MLflow: how the stages train one, and find it."""

import sys
from typing import Any

import pandas as pd
from tqdm import tqdm  # type: ignore[import-untyped]

from detector.multivariate.model import Epoch, MultivariateModel
from detector.multivariate.requests import TrainingRequest
from detector.settings import JobSettings
from detector.tracking import runs, server, training

__all__ = ["load", "train"]


def train(frame: pd.DataFrame, request: TrainingRequest) -> tuple[str, dict[str, Any]]:
    """Train, log and keep a model as a worker of the service does, with a bar on standard error.

    Parameters
    ----------
    frame : DataFrame
        A column for each variable, the times as its index.
    request : TrainingRequest

    Returns
    -------
    model_id : str
    diagnostics : dict
        How the training went, by its names on the wire.

    Raises
    ------
    DetectionError
    """
    settings = JobSettings()
    options = request.options(epochs=settings.epochs, device=settings.device)
    # What cannot be trained on is refused before anything is logged.
    training.aligned_table(frame, request.start, request.end, options)
    model_id = runs.create_model(request, queued=False).model_id
    with tqdm(total=options.epochs, desc="Training", unit="epoch", file=sys.stderr) as bar:

        def advance(epoch: Epoch) -> None:
            bar.set_postfix(loss=f"{epoch.train_loss:.3f}", refresh=False)
            bar.update()

        training.train_model(model_id, lambda: frame, options, on_epoch=advance)
    return model_id, runs.get_model(model_id).diagnostics_on_wire


def load(model_id: str) -> MultivariateModel:
    """Load a model, whoever trained it.

    Raises
    ------
    DetectionError
        ``ModelNotExist``, ``ModelNotReady`` or ``ModelFailed``.
    server.TrackingError
        If MLflow does not answer.
    """
    server.connect()
    return runs.load_model(model_id)
