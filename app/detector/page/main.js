document.body.textContent = "Anomaly Detector";
