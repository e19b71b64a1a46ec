"""Attention between the nodes of a graph, forwards and backwards.

The score of two nodes is ``leaky_relu(key + query)`` (Velickovic et al., Graph Attention Networks,
ICLR 2018), and its exponential a product: ``exp(key) exp(query)`` or, below zero,
``exp(key / 5) exp(query / 5)``, whichever is larger. So no exponential of a pair is ever taken.
"""

import torch

_SLOPE = 0.2
# Pairs in one go: few enough for their matrices to stay in the cache.
_PAIRS = 160_000
_BITS = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).float()

# In torch's own language, as threads need not wait for the interpreter there. A score is
# exp(score - its row's largest): with that taken off, all exponents are zero or below, and nothing
# overflows. `scores` gives both that it may be, of which it is the larger, then the keys, of shape
# (b, n, 1), and the queries, (b, 1, n).
_COMPILED = torch.jit.CompilationUnit(
    """
def scores(nodes: Tensor, key: Tensor, query: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    keys = torch.matmul(nodes, key)
    queries = torch.matmul(nodes, query).transpose(1, 2)
    top = queries.amax([2], True)
    largest, below = keys + top, queries - top
    scores = torch.exp(((1 - SLOPE) * largest).clamp_(max=0)) * torch.exp(below)
    flat = torch.exp(((SLOPE - 1) * largest).clamp_(max=0)) * torch.exp(SLOPE * below)
    return scores, flat, keys, queries

def attend(nodes: Tensor, key: Tensor, query: Tensor, size: int, mapped: bool
           ) -> Tuple[Tensor, Tensor]:
    results: List[Tensor] = []
    maps: List[Tensor] = []
    for part in torch.split(nodes, size):
        pairs, flat, _, _ = scores(part, key, query)
        torch.max(pairs, flat, out=pairs)
        pairs /= pairs.sum([2], True)
        results.append(torch.bmm(part.transpose(1, 2), pairs.transpose(1, 2)))
        maps.append(pairs if mapped else torch.empty_like(pairs[:0]))
    return torch.cat(results), torch.cat(maps)

def attend_with_dropout(nodes: Tensor, key: Tensor, query: Tensor, size: int, coins: Tensor,
                        bits: Tensor, memory: Tensor) -> Tuple[Tensor, List[List[Tensor]]]:
    results: List[Tensor] = []
    blocks: List[List[Tensor]] = []
    parts = torch.split(nodes, size), torch.split(memory[0], size), torch.split(memory[1], size)
    for part, pairs, kept, tossed in zip(parts[0], parts[1], parts[2], coins):
        steep, flat, keys, queries = scores(part, key, query)
        torch.max(steep, flat, out=pairs)
        total = pairs.sum([2], True)
        chance = torch.index_select(bits, 0, tossed).view(-1)[: pairs.numel()]
        torch.mul(pairs, chance.view_as(pairs), out=kept)
        result = torch.bmm(part.transpose(1, 2), kept.transpose(1, 2))
        result *= (2 / total).transpose(1, 2)
        results.append(result)
        blocks.append([part, keys, queries, pairs, total, kept, result])
    return torch.cat(results), blocks

def learn(blocks: List[List[Tensor]], gradient: Tensor) -> Tensor:
    sums = torch.zeros([blocks[0][0].size(2), 2], device=gradient.device)
    start = 0
    for nodes, keys, queries, pairs, total, kept, result in blocks:
        upper = gradient[start : start + nodes.size(0)]
        start += nodes.size(0)
        share = (upper * result).sum([1]).unsqueeze(2)
        changes = torch.bmm(upper.transpose(1, 2) * (2 / total), nodes.transpose(1, 2))
        changes *= kept
        changes.addcmul_(pairs, share / total, value=-1)
        # A softmax hands on changes that cancel out along its rows, so the slope matters only
        # where the score is above zero, and in the sums over columns.
        by_query = changes.sum([1]).mul_(SLOPE)
        changes *= torch.gt(keys, -queries, out=torch.empty_like(changes))
        by_query.add_(changes.sum([1]), alpha=1 - SLOPE)
        by_key = changes.sum([2]).mul_(1 - SLOPE)
        flat = nodes.reshape([-1, nodes.size(2)]).t()
        sums += torch.matmul(flat, torch.stack([by_key.view(-1), by_query.view(-1)], 1))
    return sums
""".replace("SLOPE", str(_SLOPE))
)


def attend(
    nodes: torch.Tensor, key: torch.Tensor, query: torch.Tensor, *, mapped: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nodes as their neighbours see them, and the attention.

    Parameters
    ----------
    nodes : Tensor, shape (b, n, f)
    key, query : Tensor, shape (f, 1)
    mapped : bool
        False leaves out the attention, which between many nodes is much memory.

    Returns
    -------
    Tensor, shape (b, f, n)
        Attention times nodes, turned.
    Tensor, shape (b, n, n)
        Attention; rows sum to 1. Empty where it is not `mapped`.
    """
    result: tuple[torch.Tensor, torch.Tensor] = _COMPILED.attend(
        nodes, key, query, _graphs(nodes), mapped
    )
    return result


class Learner:
    """Attention that learns: the memory one batch needs, used again for the next.

    Parameters
    ----------
    graphs, nodes : int
    device : str
    """

    def __init__(self, graphs: int, nodes: int, device: str) -> None:
        # The scores of all pairs, and those of them that are not dropped.
        self.pairs = torch.empty(2, graphs, nodes, nodes, device=device)
        self._bits = _BITS.to(device)
        self._blocks: list[list[torch.Tensor]] = []

    def attend(
        self,
        nodes: torch.Tensor,
        key: torch.Tensor,
        query: torch.Tensor,
        random: torch.Generator,
    ) -> torch.Tensor:
        """Do as :func:`attend` with every other pair dropped by chance."""
        size = _graphs(nodes)
        coins = _coins(-(-len(nodes) // size), size * nodes.shape[1] ** 2, random)
        result: torch.Tensor
        result, self._blocks = _COMPILED.attend_with_dropout(
            nodes, key, query, size, coins.to(nodes.device), self._bits, self.pairs
        )
        return result

    def learn(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients of the key's and the query's weights, each of shape ``(f, 1)``.

        Parameters
        ----------
        gradient : Tensor, shape (b, f, n)
            Of the last result of :meth:`attend`.
        """
        sums = _COMPILED.learn(self._blocks, gradient)
        return sums[:, :1], sums[:, 1:]


def _graphs(nodes: torch.Tensor) -> int:
    return max(1, _PAIRS // nodes.shape[1] ** 2)


def _coins(blocks: int, pairs: int, random: torch.Generator) -> torch.Tensor:
    """Return bytes of chance, enough for a bit to each pair of each block."""
    words = torch.empty((blocks, (pairs + 63) // 64), dtype=torch.int64)
    words.random_(-(2**63), None, generator=random)
    return words.view(torch.uint8).to(torch.int32)
