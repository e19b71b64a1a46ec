"""What runs in the MLflow image: ``stack COMMAND``."""
