"""The HTTP service that clients of Azure AI Anomaly Detector speak to."""
