"""Breaks beside the same search done one interval at a time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.univariate import segmentation
from detector.univariate.segmentation import _LEVEL, _Lines, _starts, find_breaks


class Plain:
    """The search as it reads, with the sums of squares of the fast one."""

    def __init__(self, values: Any, shortest: int) -> None:
        self.n, self.shortest = len(values), shortest
        self.lines = _Lines(values, shortest)
        self.bound = 2 * math.log(self.n) - math.log(_LEVEL)

    def breaks(self) -> list[int]:
        found: list[int] = []
        length = 2 * self.shortest
        while True:
            starts = _starts(self.n, length)
            splits, evidence = self.lines.split(starts, length)
            likely = np.flatnonzero(evidence > self.bound)
            for each in likely[np.argsort(-evidence[likely], kind="stable")]:
                if not any(starts[each] < known < starts[each] + length for known in found):
                    found.append(int(splits[each]))
            if length == self.n:
                return self.kept(sorted(found))
            length = min(math.ceil(length * 1.41), self.n)

    def best(self, start: int, stop: int) -> int:
        splits = np.arange(start + self.shortest, stop - self.shortest + 1)
        two = self.lines._squares(start, splits) + self.lines._squares(splits, stop)
        return int(splits[two.argmin()])

    def kept(self, breaks: list[int]) -> list[int]:
        while True:
            edges = [0, *breaks, self.n]
            for place in range(1, len(edges) - 1):
                edges[place] = self.best(edges[place - 1], edges[place + 1])
            placed = np.array(edges[1:-1], dtype=np.int64)
            self.lines._memory = self.lines._memory_about(placed)
            edges = [0, *placed.tolist(), self.n]
            weak = self.lines._weak_breaks(
                np.array(edges), self.left(edges), self.bound, least=True
            )
            fewer = placed[~weak].tolist() if weak.any() else self.merged(placed.tolist())
            if len(fewer) == len(breaks):
                return [int(place) for place in placed]
            breaks = fewer

    def left(self, edges: list[int]) -> Any:
        return np.array([self.lines._squares(*ends) for ends in pairwise(edges)])

    def merged(self, breaks: list[int]) -> list[int]:
        """Return the breaks with one in place of the two that need it least to be two."""
        edges = [0, *breaks, self.n]
        least, place, middle = math.inf, -1, -1
        for each in range(len(breaks) - 1):
            start, first, second, stop = edges[each : each + 4]
            best = self.best(start, stop)
            squares = self.lines._squares
            one = np.array([squares(start, best) + squares(best, stop)])
            two = np.array([squares(start, first) + squares(first, second) + squares(second, stop)])
            evidence = float(self.lines._evidence(one, two, np.array([stop - start]))[0])
            if evidence < least:
                least, place, middle = evidence, each, best
        if not least <= self.bound:
            return breaks
        return [*breaks[:place], middle, *breaks[place + 2 :]]


def wavy(n: int, kind: str, size: float, noise: float, seed: int) -> Any:
    drawn = np.random.default_rng(seed)
    place = np.arange(n)
    values = {
        "sine": np.sin(2 * np.pi * place / size),
        "steps": drawn.normal(size=n + 1)[(place / size).astype(int)],
        "bends": np.abs(place / size % 2 - 1),
        "walk": np.cumsum(drawn.normal(size=n)),
    }[kind]
    values = values + noise * drawn.normal(size=n)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(n)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    n=st.integers(12, 500),
    kind=st.sampled_from(["sine", "steps", "bends", "walk"]),
    size=st.floats(2, 120),
    noise=st.sampled_from([0.0, 1e-6, 0.01, 0.3]),
    shortest=st.sampled_from([3, 3, 4, 9]),
    seed=st.integers(0, 99),
)
def test_breaks_are_those_of_the_plain_search(
    n: int, kind: str, size: float, noise: float, shortest: int, seed: int
) -> None:
    values = wavy(n, kind, size, noise, seed)
    shortest = min(shortest, n // 2)
    assert find_breaks(values, shortest) == Plain(values, shortest).breaks()


@pytest.mark.parametrize("kind", ["sine", "walk"])
def test_breaks_that_merge_together_still_leave_the_shortest_line(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = wavy(3000, kind, 150, 0.001, 1)
    alone = find_breaks(values, 3)
    monkeypatch.setattr(segmentation, "_SINGLE_MERGES", 5)
    together = find_breaks(values, 3)
    assert (np.diff([0, *together, 3000]) >= 3).all()
    assert len(together) == pytest.approx(len(alone), rel=0.3)
