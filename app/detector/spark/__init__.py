"""Detection in many series on Apache Spark."""
