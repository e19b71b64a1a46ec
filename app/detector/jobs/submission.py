"""What a request begins: the run of a job, and its row in the queue; both, or neither."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from detector.jobs.queue import DETECTION, TRAINING, Queue, QueueError, queues
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.tracking import runs
from detector.tracking.records import ModelRecord, ResultRecord

__all__ = ["begin_detection", "begin_training", "unfinished_detections"]


def begin_training(request: TrainingRequest) -> ModelRecord:
    """Begin the run of a model, and have a worker train it.

    Raises
    ------
    QueueError
        If it cannot be queued; there is no such model then.
    """
    queue = _writable(TRAINING)
    record = runs.create_model(request)
    with _or_discarded(record.model_id):
        _submit(queue, record.model_id, request)
    return record


def begin_detection(model_id: str, request: DetectionRequest) -> ResultRecord:
    """Begin the run of a batch detection, and have a worker carry it out.

    Raises
    ------
    QueueError
        If it cannot be queued; there is no such result then.
    """
    queue = _writable(DETECTION)
    record = runs.create_result(model_id, request)
    with _or_discarded(record.result_id):
        _submit(queue, record.result_id, request)
    return record


def unfinished_detections() -> int:
    """Return how many batch detections wait or run."""
    return len(queues()[DETECTION].unfinished())


def _writable(kind: str) -> Queue:
    queue = queues()[kind]
    queue.check()
    return queue


def _submit(queue: Queue, identity: str, request: TrainingRequest | DetectionRequest) -> None:
    # First, so that no worker takes a job whose address is not there.
    if request.public_source != request.source:
        queue.keep_source(identity, request.source)
    queue.submit(identity)


@contextlib.contextmanager
def _or_discarded(identity: str) -> Iterator[None]:
    """Delete a run that cannot be queued."""
    try:
        yield
    except QueueError:
        runs.discard(identity)
        raise
