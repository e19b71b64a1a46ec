"""A gated recurrent unit, forwards and backwards, of which only the last state is asked for.

The state ``h`` is kept as ``g = (h + 1) / 2`` and tanh as ``2 sigmoid(2x) - 1``, which takes a
tenth of its time; the weights are changed to suit, once a batch. Nothing of this changes the
network: in exact arithmetic it is that of Cho et al. (2014) as ``torch.nn.GRU`` computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

STEPS = 100
HIDDEN = 100
# Steps whose factors are computed in one go on the way back: they stay in the cache.
_TOGETHER = 4


@dataclass(frozen=True)
class Gates:
    """The weights of a unit as its steps use them.

    A step sees the rows ``[inputs (3d), 1, state]``: biases are the weights of the 1. Of the
    inputs the attended ones come first, as only they ask for gradients.
    """

    both: torch.Tensor  # reset and update gate, (2 hidden, inputs + 1 + hidden)
    state: torch.Tensor  # the candidate's part of the state, (hidden, 1 + hidden)
    entry: torch.Tensor  # the candidate's part of the inputs, (hidden, inputs + 1)

    @classmethod
    def of(cls, weights: Mapping[str, torch.Tensor]) -> "Gates":
        """Change the weights of a ``torch.nn.GRU`` whose inputs start with d plain ones."""
        entry, state = weights["gru.weight_ih_l0"], weights["gru.weight_hh_l0"]
        entry_bias, state_bias = weights["gru.bias_ih_l0"], weights["gru.bias_hh_l0"]
        entry = entry.roll(-(entry.shape[1] // 3), dims=1)
        state_bias = state_bias - state.sum(dim=1)
        two = 2 * HIDDEN
        bias = (entry_bias + state_bias)[:two, None]
        return cls(
            both=torch.cat([entry[:two], bias, 2 * state[:two]], dim=1),
            state=torch.cat([2 * state_bias[two:, None], 4 * state[two:]], dim=1),
            entry=2 * torch.cat([entry[two:], entry_bias[two:, None]], dim=1),
        )

    def zeros(self) -> "Gates":
        return Gates(*(torch.zeros_like(part) for part in (self.both, self.state, self.entry)))

    def add(self, other: "Gates") -> None:
        self.both.add_(other.both)
        self.state.add_(other.state)
        self.entry.add_(other.entry)

    def gradients(self) -> dict[str, torch.Tensor]:
        """Take these as gradients, and return those of the weights `of` was given."""
        inputs = self.entry.shape[1] - 1
        bias, still = self.both[:, inputs], self.state[:, 0]
        fresh = self.entry[:, inputs]
        entry = torch.cat([self.both[:, :inputs], 2 * self.entry[:, :inputs]])
        state = torch.cat(
            [
                2 * self.both[:, inputs + 1 :] - bias[:, None],
                4 * self.state[:, 1:] - 2 * still[:, None],
            ]
        )
        return {
            "gru.weight_ih_l0": entry.roll(inputs // 3, dims=1),
            "gru.weight_hh_l0": state,
            "gru.bias_ih_l0": torch.cat([bias, 2 * fresh]),
            "gru.bias_hh_l0": torch.cat([bias, 2 * still]),
        }


class Unit:
    """The memory one batch needs, used again for the next; not for two threads at once.

    Parameters
    ----------
    variables : int
        A third of the inputs.
    batch : int
    device : str
    learns : bool
        True keeps what :meth:`learn` needs of every step.
    """

    def __init__(self, variables: int, batch: int, device: str, *, learns: bool) -> None:
        inputs = 3 * variables
        rows = torch.empty(STEPS + 1, inputs + 1 + HIDDEN, batch, device=device)
        rows[:, inputs] = 1.0
        rows[0, inputs + 1 :] = 0.5
        self.variables = variables
        self.inputs = rows[:STEPS, :inputs]
        self._last = rows[STEPS, inputs + 1 :]
        self._states = rows[:, inputs + 1 :]
        kept = torch.empty(STEPS if learns else 1, 4 * HIDDEN, batch, device=device)
        self._kept = kept
        gates = list(kept) if learns else list(kept) * STEPS
        # Views made once: making them at every step would take longer than some of the steps.
        self._forwards = [
            (
                now,
                now[inputs:],
                now[: inputs + 1],
                now[inputs + 1 :],
                after[inputs + 1 :],
                gate[:HIDDEN],
                gate[HIDDEN : 3 * HIDDEN],
                gate[HIDDEN : 2 * HIDDEN],
                gate[2 * HIDDEN : 3 * HIDDEN],
                gate[3 * HIDDEN :],
            )
            for now, after, gate in zip(rows[:-1], rows[1:], gates, strict=True)
        ]
        if not learns:
            return
        self._changes = torch.empty(_TOGETHER, 4, HIDDEN, batch, device=device)
        self._backwards = [
            (
                change,
                change.view(4 * HIDDEN, batch)[: 3 * HIDDEN],
                change.view(4 * HIDDEN, batch)[HIDDEN:],
                change[0],
                change.view(4 * HIDDEN, batch)[HIDDEN : 3 * HIDDEN],
                change[3],
            )
            for change in self._changes
        ]
        self._turned = [
            (now.t(), now[inputs:].t(), now[: inputs + 1].t(), gate[2 * HIDDEN : 3 * HIDDEN])
            for now, gate in zip(rows[:-1], kept, strict=True)
        ]
        self._entries = torch.empty(STEPS, 2 * variables, batch, device=device)
        self._entry = list(self._entries)

    def run(self, gates: Gates) -> torch.Tensor:
        """Return the last state, shape ``(batch, hidden)``, of what was put into `inputs`."""
        both, state, entry = gates.both, gates.state, gates.entry
        for row, held, come, old, new, still, two, reset, update, fresh in self._forwards:
            torch.mm(both, row, out=two)
            torch.mm(state, held, out=still)
            torch.mm(entry, come, out=fresh)
            two.sigmoid_()
            fresh.addcmul_(reset, still).sigmoid_()
            torch.lerp(fresh, old, update, out=new)
        return (2 * self._last - 1).t()

    def learn(self, gates: Gates, gradient: torch.Tensor) -> tuple[Gates, torch.Tensor]:
        """Return the gradients of the gates and of the attended inputs.

        Parameters
        ----------
        gates : Gates
            As in :meth:`run`.
        gradient : Tensor, shape (batch, hidden)
            Of its result.

        Returns
        -------
        Gates
        Tensor, shape (steps, 2 * variables, batch)
            Good until the next call.
        """
        inputs, two = 3 * self.variables, 2 * self.variables
        back = torch.cat([gates.state[:, 1:], gates.both[:, inputs + 1 :]]).t().contiguous()
        out = torch.cat([gates.both[:, :two], gates.entry[:, :two]]).t().contiguous()
        sums = gates.zeros()
        now = 2 * gradient.t().contiguous()
        before = torch.empty_like(now)
        for start in range(STEPS - _TOGETHER, -1, -_TOGETHER):
            self._factors(start)
            for place in range(_TOGETHER - 1, -1, -1):
                step = start + place
                change, to_state, to_entry, still, both, fresh = self._backwards[place]
                row, held, come, update = self._turned[step]
                change.mul_(now)
                torch.mul(now, update, out=before).addmm_(back, to_state)
                sums.both.addmm_(both, row)
                sums.state.addmm_(still, held)
                sums.entry.addmm_(fresh, come)
                torch.mm(out, to_entry, out=self._entry[step])
                now, before = before, now
        return sums, self._entries

    def _factors(self, start: int) -> None:
        """Write what the gradient of each step's state is multiplied by, for some steps."""
        kept = self._kept[start : start + _TOGETHER]
        still, reset, update, fresh = torch.split(kept, HIDDEN, dim=1)
        by_still, by_reset, by_update, by_fresh = self._changes.unbind(dim=1)
        rest = 1 - update
        torch.sub(self._states[start + 1 : start + 1 + _TOGETHER], fresh, out=by_update)
        by_update.mul_(rest)
        torch.addcmul(fresh, fresh, fresh, value=-1, out=by_fresh).mul_(rest)
        torch.mul(by_fresh, reset, out=by_still)
        torch.mul(by_still, still, out=by_reset)
        by_reset.addcmul_(by_reset, reset, value=-1)
