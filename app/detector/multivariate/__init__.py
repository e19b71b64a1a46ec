"""Detection in many variables together."""
