"""What multivariate detection finds; ``make prove`` measures more seeds, and planted faults."""

from bench.multivariate_quality import KNOWN, detect_in_sample


def test_the_known_anomalies_of_the_sample_data_are_found() -> None:
    """The walk-through's own test, ``test_multivariate_walkthrough.py``, has planted faults."""
    sample = detect_in_sample(seed=1)
    assert len(sample.flagged) >= len(KNOWN) - 1
    assert sample.first_on_top == "series_2"
