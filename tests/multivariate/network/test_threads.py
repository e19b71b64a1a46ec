"""Threads that each calculate on one core."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from detector.multivariate.network.threads import Threads


def test_each_thread_has_one_core_and_others_what_they_had() -> None:
    before = torch.get_num_threads()
    with Threads(2) as threads:
        counts = list(threads.map(lambda _: torch.get_num_threads(), range(8)))
        with ThreadPoolExecutor(1) as pool:
            new = pool.submit(torch.get_num_threads).result()
    assert set(counts) == {1}
    assert torch.get_num_threads() == new == before


def test_results_come_in_order_and_few_are_begun_in_advance() -> None:
    begun: list[int] = []
    with Threads(2) as threads:
        results = threads.map(lambda item: begun.append(item) or item, range(100))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert len(begun) <= 10
        assert list(results) == list(range(3, 100))


def test_an_error_of_a_thread_is_raised() -> None:
    with Threads(2) as threads, pytest.raises(ZeroDivisionError):
        list(threads.map(lambda item: 1 // item, [1, 0]))
