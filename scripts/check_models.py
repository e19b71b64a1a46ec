"""Loads every registered version that has an alias; scripts/upgrade runs it in the workspace.

What does not load is told, and stops nothing: it may not have loaded before.
"""

import mlflow

for model in mlflow.search_registered_models():
    for alias in model.aliases:
        address = f"models:/{model.name}@{alias}"
        try:
            mlflow.pyfunc.load_model(address)
        except Exception as error:  # noqa: BLE001 - whatever the code of a model raises
            print(f"{address} does not load: {type(error).__name__}: {str(error)[:300]}")
        else:
            print(f"{address} loads.")
