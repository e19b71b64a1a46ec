# The stack's MLflow image with an older MLflow, to upgrade from.
ARG IMAGE=anomaly-detector/mlflow
FROM ${IMAGE}
ARG MLFLOW=3.16.1
USER root
# pip is the base image's: the image takes its own out.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --quiet \
        mlflow==${MLFLOW} mlflow-skinny==${MLFLOW} mlflow-tracing==${MLFLOW}
USER mlflow
