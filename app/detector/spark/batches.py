"""What a Python worker of Spark does: detection in the series of its partition."""
