"""Run the quick starts of Azure's Python SDKs, and print what they found, as JSON.

    python tests/clients/python_quick_starts.py ENDPOINT DATA_SOURCE

It is a program of its own because the SDKs read whom to trust from its environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import quick_starts


async def last_point(endpoint: str) -> bool:
    """Detect in a last point with the SDK's asynchronous client."""
    from azure.ai.anomalydetector.aio import AnomalyDetectorClient
    from azure.ai.anomalydetector.models import TimeSeriesPoint, UnivariateDetectionOptions
    from azure.core.credentials import AzureKeyCredential

    points = [TimeSeriesPoint(value=float(place != 19)) for place in range(20)]
    options = UnivariateDetectionOptions(series=points, granularity="none")
    async with AnomalyDetectorClient(endpoint, AzureKeyCredential("any")) as client:
        found = await client.detect_univariate_last_point(options)
    return bool(found.is_anomaly)


def main(endpoint: str, source: str) -> None:
    trained = quick_starts.multivariate(endpoint, "any", source)
    found: dict[str, Any] = {
        "azure-ai-anomalydetector": quick_starts.univariate(endpoint, "any").found,
        "azure-cognitiveservices-anomalydetector": quick_starts.univariate_version_1_0(
            endpoint, "any"
        ).found,
        "asynchronous": asyncio.run(last_point(endpoint)),
        "multivariate": [trained.model.model_info.status, len(trained.batch.results)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
