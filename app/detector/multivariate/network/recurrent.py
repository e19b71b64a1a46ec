"""A gated recurrent unit, forwards and backwards, of which only the last state is asked for.

The state ``h`` is kept as ``g = (h + 1) / 2`` and tanh as ``2 sigmoid(2x) - 1``, which takes a
tenth of its time; the weights are changed to suit, once a batch. Nothing of this changes the
network: in exact arithmetic it is that of Cho et al. (2014) as ``torch.nn.GRU`` computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

STEPS = 100
HIDDEN = 100
# Rows of several steps in one product, where no step waits for another: they stay in the cache.
_TOGETHER = 640

# ``torch.mm`` asks a library that leaves half of the vector unit idle on some processors; oneDNN,
# which comes with torch too, uses all of it. Its entry has no public name: where it is missing,
# torch's own products say the same.
_QUICK = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)
_QUICK_PRODUCTS = """
def product(rows: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
"""
_PRODUCTS = """
def product(rows: Tensor, weight: Tensor) -> Tensor:
    return torch.mm(rows, weight.t())
"""
# The steps are in torch's own language: in Python two threads would wait for the interpreter, one
# for the other, at each of a thousand short operations. `size` steps are entered at once. Views of
# every step are made before the first, and what a product is added to is added after it: both take
# less time than the shorter way to say it.
_STEPS = """
def forward(entered: Tensor, entry: Tensor, state: Tensor, states: Tensor, gates: Tensor,
            held: Tensor, fresh: Tensor, size: int) -> Tensor:
    batch, hidden = entered.size(1), state.size(1)
    three = 3 * hidden
    before, two, much, some = states.unbind(0), gates.unbind(0), held.unbind(0), fresh.unbind(0)
    resets, updates = gates[:, :, :hidden].unbind(0), gates[:, :, hidden:].unbind(0)
    before[0].fill_(0.5)
    step = 0
    for block in entered.split(size):
        rows = block.flatten(0, 1)
        near = product(rows, entry[:three]).view([-1, batch, three]).unbind(0)
        far = product(rows, entry[three:]).view([-1, batch, hidden]).unbind(0)
        for place in range(len(near)):
            kept = step % len(two)
            old, fill = before[step % len(before)], some[kept]
            step += 1
            sums = product(old, state).add_(near[place])
            opened, passed = sums.split([2 * hidden, hidden], 1)
            torch.sigmoid(opened, out=two[kept])
            torch.mul(passed, resets[kept], out=much[kept])
            torch.add(much[kept], far[place], out=fill).sigmoid_()
            torch.lerp(fill, old, updates[kept], out=before[step % len(before)])
    return 2 * states[-1] - 1

def backward(gradient: Tensor, wanted: int, entered: Tensor, entry: Tensor, state: Tensor,
             states: Tensor, gates: Tensor, held: Tensor, fresh: Tensor, by_gate: Tensor,
             by_fresh: Tensor, size: int) -> Tuple[Tensor, Tensor, Tensor]:
    steps, batch, hidden = entered.size(0), entered.size(1), state.size(1)
    three = 3 * hidden
    back, out = state.t().contiguous(), entry[:, :wanted].t()
    near, far = out[:, :three].contiguous(), out[:, three:].contiguous()
    by_near = torch.zeros([entry.size(1), three], device=entry.device)
    by_far = torch.zeros([entry.size(1), hidden], device=entry.device)
    by_state = torch.zeros([hidden, three], device=entry.device)
    by_entered = torch.empty([steps, batch, wanted], device=entry.device)
    updates = gates[:, :, hidden:].unbind(0)
    each = by_gate.unbind(0)
    thirds = by_gate.view([-1, batch, 3, hidden]).unbind(0)
    news = by_fresh.unbind(0)
    now = 2 * gradient
    for start in range((steps - 1) // size * size, -1, -size):
        end = min(start + size, steps)
        reset, update = gates[start:end].split(hidden, 2)
        # What the gradient of each step's state is multiplied by.
        parts, part = by_gate[: end - start], by_fresh[: end - start]
        by_reset, by_update, by_held = parts.split(hidden, 2)
        some, rest = fresh[start:end], 1 - update
        torch.sub(states[start + 1 : end + 1], some, out=by_update).mul_(rest)
        torch.addcmul(some, some, some, value=-1, out=part).mul_(rest)
        torch.mul(part, reset, out=by_held)
        torch.sub(part, by_held, out=by_reset).mul_(held[start:end])
        for place in range(end - start - 1, -1, -1):
            thirds[place].mul_(now.unsqueeze(1))
            news[place].mul_(now)
            now = product(each[place], back).addcmul_(now, updates[start + place])
        parts, part = parts.flatten(0, 1), part.flatten(0, 1)
        by_rows = product(parts, near).add_(product(part, far))
        by_entered[start:end] = by_rows.view([-1, batch, wanted])
        rows = entered[start:end].flatten(0, 1).t()
        by_near += product(rows, parts.t())
        by_far += product(rows, part.t())
        by_state += product(states[start:end].flatten(0, 1).t(), parts.t())
    return torch.cat([by_near, by_far], 1).t(), by_state.t(), by_entered
"""


@dataclass(frozen=True)
class Gates:
    """The weights of a unit as its steps use them.

    They lead to the reset gate, the update gate, and what the candidate takes of the state; those
    of the inputs also to what it takes of them. Of the inputs ``(3d)`` the attended ones come
    first, as only they ask for gradients, and a 1 comes last, of which the biases are the weights.
    """

    entry: torch.Tensor  # (4 hidden, inputs + 1); biases alone lead to the third part
    state: torch.Tensor  # (3 hidden, hidden)

    @classmethod
    def of(cls, weights: Mapping[str, torch.Tensor]) -> "Gates":
        """Change the weights of a ``torch.nn.GRU`` whose inputs start with d plain ones."""
        entry, state = weights["gru.weight_ih_l0"], weights["gru.weight_hh_l0"]
        entry_bias, state_bias = weights["gru.bias_ih_l0"], weights["gru.bias_hh_l0"]
        state_bias = state_bias - state.sum(dim=1)
        entry = torch.cat([entry.roll(-(entry.shape[1] // 3), dims=1), entry_bias[:, None]], dim=1)
        two = 2 * HIDDEN
        changed = torch.cat([entry[:two], torch.zeros_like(entry[two:]), 2 * entry[two:]])
        changed[:two, -1] += state_bias[:two]
        changed[two : two + HIDDEN, -1] = 2 * state_bias[two:]
        return cls(changed, torch.cat([2 * state[:two], 4 * state[two:]]))

    def add(self, other: "Gates") -> None:
        self.entry.add_(other.entry)
        self.state.add_(other.state)

    def gradients(self) -> dict[str, torch.Tensor]:
        """Take these as gradients, and return those of the weights `of` was given."""
        two = 2 * HIDDEN
        bias = self.entry[:, -1]
        entry = torch.cat([self.entry[:two, :-1], 2 * self.entry[two + HIDDEN :, :-1]])
        held = torch.cat([bias[:two], 2 * bias[two : two + HIDDEN]])
        state = torch.cat([2 * self.state[:two], 4 * self.state[two:]])
        return {
            "gru.weight_ih_l0": entry.roll(entry.shape[1] // 3, dims=1),
            "gru.weight_hh_l0": state - held[:, None],
            "gru.bias_ih_l0": torch.cat([bias[:two], 2 * bias[two + HIDDEN :]]),
            "gru.bias_hh_l0": held,
        }


@cache
def _compiled(quick: bool) -> torch.jit.CompilationUnit:
    return torch.jit.CompilationUnit((_QUICK_PRODUCTS if quick else _PRODUCTS) + _STEPS)


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
        def memory(steps: int, width: int) -> torch.Tensor:
            return torch.empty(steps, batch, width, device=device)

        entered = memory(STEPS, 3 * variables + 1)
        entered[:, :, -1] = 1.0
        self.variables = variables
        self.inputs = entered[:, :, :-1]
        self._entered = entered
        kept = STEPS if learns else 1
        # The states, before each step and at the end; the two gates, what the reset gate lets
        # pass of the state, the candidate.
        self._kept = (
            memory(STEPS + 1 if learns else 1, HIDDEN),
            memory(kept, 2 * HIDDEN),
            memory(kept, HIDDEN),
            memory(kept, HIDDEN),
        )
        self._size = max(1, _TOGETHER // batch)
        self._changes = (
            [memory(self._size, 3 * HIDDEN), memory(self._size, HIDDEN)] if learns else []
        )
        self._steps = _compiled(_QUICK and device == "cpu")

    def run(self, gates: Gates) -> torch.Tensor:
        """Return the last state, shape ``(batch, hidden)``, of what was put into `inputs`."""
        last: torch.Tensor = self._steps.forward(
            self._entered, gates.entry, gates.state, *self._kept, self._size
        )
        return last

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
        Tensor, shape (steps, batch, 2 * variables)
        """
        entry, state, entries = self._steps.backward(
            gradient,
            2 * self.variables,
            self._entered,
            gates.entry,
            gates.state,
            *self._kept,
            *self._changes,
            self._size,
        )
        return Gates(entry, state), entries
