"""Detection in one series."""
