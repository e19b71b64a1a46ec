"""Detect with Azure's current SDKs for Python, and print what they found, as JSON.

Its argument is the endpoint. It is a program of its own because the asynchronous SDK reads whom
to trust from the environment when it is imported.
"""

from __future__ import annotations

import asyncio
import json
import sys

import quick_starts
from azure.ai.anomalydetector.aio import AnomalyDetectorClient
from azure.ai.anomalydetector.models import TimeSeriesPoint, UnivariateDetectionOptions
from azure.core.credentials import AzureKeyCredential


async def last_point(endpoint: str) -> bool:
    """Detect in a last point with the SDK's asynchronous client."""
    points = [TimeSeriesPoint(value=float(place != 19)) for place in range(20)]
    options = UnivariateDetectionOptions(series=points, granularity="none")
    async with AnomalyDetectorClient(endpoint, AzureKeyCredential("any")) as client:
        found = await client.detect_univariate_last_point(options)
    return bool(found.is_anomaly)


endpoint = sys.argv[1]
found = {
    "azure-ai-anomalydetector": quick_starts.univariate(endpoint, "any").found,
    "azure-cognitiveservices-anomalydetector": quick_starts.univariate_version_1_0(
        endpoint, "any"
    ).found,
    "asynchronous": asyncio.run(last_point(endpoint)),
}
print(json.dumps(found))
