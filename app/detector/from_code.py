"""What MLflow runs to make a logged model: its code, so that no pickle has to match a Python."""

from mlflow.models import ModelConfig, set_model

from detector import models

set_model(getattr(models, ModelConfig().get("model"))())
