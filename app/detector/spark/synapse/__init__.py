"""The stages of SynapseML that called Azure AI Anomaly Detector, detecting on Spark itself."""
