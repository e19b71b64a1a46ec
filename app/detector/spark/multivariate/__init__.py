"""Detection in many variables on Apache Spark: rows in parts, each scored by a worker.

Workers import this folder. It knows neither MLflow nor, before a row is scored, torch.
"""
