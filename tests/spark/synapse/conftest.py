"""What the stages are compared with: the endpoint, of the version of the API that they called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from services import Answer, Service, running

PATH = "/anomalydetector/v1.1-preview.1/timeseries/{}/detect"
# What an operation of the endpoint answers to a request.
Ask = Callable[[str, dict[str, Any]], Answer]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start the endpoint, which has a store of its own in its folder."""
    with running(tmp_path_factory.mktemp("endpoint")) as service:
        yield service


@pytest.fixture(scope="session")
def endpoint(service: Service) -> Ask:
    return lambda operation, request: service.call(PATH.format(operation), request)
