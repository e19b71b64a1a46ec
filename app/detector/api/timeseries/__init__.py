"""``timeseries/...``: detection in one series."""
