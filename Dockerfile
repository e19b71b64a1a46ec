# Three images of the same requirements. The workspace: where `python app/test.py`, notebooks and
# pytest run, and which the dev container opens; the checkout is mounted at /workspace. Spark: the
# cluster's master and workers, and a workspace for programs on it. The detector: the HTTP service and
# its worker, with the package built in; it also runs by itself.
ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim-bookworm AS requirements

# git for the dev container; libgomp for torch and scikit-learn.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# The owner of the checkout on the host, so that files written here are theirs.
ARG UID=1000
ARG GID=1000
RUN groupadd --non-unique --gid "$GID" workspace \
    && useradd --non-unique --uid "$UID" --gid "$GID" --create-home --shell /bin/bash workspace \
    && install -d -o workspace -g workspace /opt/venv /workspace
USER workspace

# Whoever the container runs as may add packages (umask 0): a dev container takes the host user's
# number, which need not be the one above.
# torch's CPU builds are a tenth of the size of its default ones. pip asks an extra index about every
# package and waits for one that does not answer, so torch comes last, when all that it needs is
# there. Its files are the only ones that no hash of ours is compared with.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.txt requirements.lock /tmp/
RUN umask 0 && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.lock \
    && /opt/venv/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
        "$(grep '^torch==' /tmp/requirements.txt)"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

# The kernel, compiled where the compiler is and nowhere else.
FROM requirements AS native
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY app/detector/univariate/kernel/native /srv/app/detector/univariate/kernel/native
RUN PYTHONPATH=/srv/app python -m detector.univariate.kernel.native.build --target /opt/native
USER workspace

FROM requirements AS workspace
# Python's own library comes without bytecode, and a read-only container would compile it at each start.
USER root
RUN python -m compileall -q -x '/(site-packages|tests?)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
USER workspace
COPY --from=native /opt/native /opt/native
RUN ln -s /opt/native/detector_native /opt/venv/lib/python*/site-packages/
WORKDIR /workspace
CMD ["sleep", "infinity"]

FROM workspace AS spark
USER root
# What is mounted over /run/spark has its mode.
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 1777 /run/spark \
    && install -d -o workspace -g workspace /var/lib/spark
USER workspace
# pyspark comes as its source; what builds it is in the venv, installed by its hash.
COPY requirements-spark.lock /tmp/
RUN umask 0 && /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation \
    --require-hashes -r /tmp/requirements-spark.lock
COPY spark /usr/local/lib/spark
COPY app/detector /srv/app/detector
ENV PYTHONPATH=/srv/app PYSPARK_PYTHON=/opt/venv/bin/python SPARK_CONF_DIR=/run/spark \
    SPARK_DAEMON_MEMORY=256m
ENTRYPOINT ["python", "/usr/local/lib/spark/start.py"]
CMD ["sleep", "infinity"]

# By itself it keeps all that it has in one volume: models, results, the queue, uploads and its key.
# In the stack the models lie in MLflow, and the volume has the queue. A volume takes over this
# folder's owner.
FROM workspace AS detector
USER root
RUN install -d -o workspace -g workspace /var/lib/detector
COPY app/detector /srv/app/detector
RUN python -m compileall -q /srv/app /opt/native
USER workspace
# A port can be published only where the service listens on every address; BIND_ADDRESS says where it
# is published.
ENV PYTHONPATH=/srv/app DETECTOR_IN_CONTAINER=true DETECTOR_HOST=0.0.0.0 \
    DETECTOR_TLS_FOLDER=/var/lib/detector/tls
WORKDIR /var/lib/detector
VOLUME /var/lib/detector
EXPOSE 8080
HEALTHCHECK --interval=3s --timeout=10s --start-period=60s --retries=10 \
    CMD ["python", "-I", "/srv/app/detector/healthcheck.py"]
# What follows the image's name is for it: docker run IMAGE Eula=accept ApiKey=KEY
ENTRYPOINT ["python", "-m", "detector", "serve"]
