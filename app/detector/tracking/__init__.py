"""All that speaks to MLflow: models, runs, trainings."""
