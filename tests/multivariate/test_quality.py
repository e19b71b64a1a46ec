"""What multivariate detection finds; ``make prove`` measures more seeds and cases."""

from bench.multivariate_quality import KNOWN, detect_in_sample, detect_planted


def test_the_known_anomalies_of_the_sample_data_are_found() -> None:
    sample = detect_in_sample(seed=1)
    assert len(sample.flagged) >= len(KNOWN) - 1
    assert sample.first_on_top == "series_2"


def test_a_variable_out_of_step_is_found_and_quiet_rows_are_left_alone() -> None:
    planted = detect_planted(case=1)
    assert planted.found
    assert planted.flagged <= 0.08 * planted.quiet
