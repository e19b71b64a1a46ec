"""Attention between the nodes of a graph, forwards and backwards.

The score of two nodes is ``leaky_relu(key + query)`` (Velickovic et al., Graph Attention Networks,
ICLR 2018), and its exponential a product: ``exp(key) exp(query)`` or, below zero,
``exp(key / 5) exp(query / 5)``, whichever is larger. So no exponential of a pair is ever taken.
"""

from dataclasses import dataclass

import torch

_SLOPE = 0.2
# Pairs in one go: few enough for their matrices to stay in the cache.
_PAIRS = 160_000
_BITS = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).float()

# In torch's own language, as threads need not wait for the interpreter there. The scores are
# exp(score - its row's largest): with that taken off, all exponents are zero or below, and nothing
# overflows. Keys have the shape (b, n, 1), queries (b, 1, n).
_COMPILED = torch.jit.CompilationUnit(
    """
def scores(nodes: Tensor, key: Tensor, query: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    keys = torch.matmul(nodes, key)
    queries = torch.matmul(nodes, query).transpose(1, 2)
    top = queries.amax([2], True)
    largest, below = keys + top, queries - top
    scores = torch.exp(((1 - SLOPE) * largest).clamp_(max=0)) * torch.exp(below)
    flat = torch.exp(((SLOPE - 1) * largest).clamp_(max=0)) * torch.exp(SLOPE * below)
    return torch.max(scores, flat, out=scores), keys, queries

def attend(nodes: Tensor, key: Tensor, query: Tensor, size: int, mapped: bool
           ) -> Tuple[Tensor, Tensor]:
    results: List[Tensor] = []
    maps: List[Tensor] = []
    for part in torch.split(nodes, size):
        pairs, _, _ = scores(part, key, query)
        pairs /= pairs.sum([2], True)
        results.append(torch.bmm(part.transpose(1, 2), pairs.transpose(1, 2)))
        maps.append(pairs if mapped else torch.empty_like(pairs[:0]))
    return torch.cat(results), torch.cat(maps)
""".replace("SLOPE", str(_SLOPE))
)


@dataclass(frozen=True)
class Block:
    """What the way back needs of a few graphs; matrices have the shape ``(b, n, n)``."""

    nodes: torch.Tensor
    key: torch.Tensor
    query: torch.Tensor
    scores: torch.Tensor
    kept: torch.Tensor
    total: torch.Tensor
    result: torch.Tensor


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


def attend_with_dropout(
    nodes: torch.Tensor, key: torch.Tensor, query: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, list[Block]]:
    """Do as :func:`attend` with every other pair dropped by chance, and keep what `learn` needs."""
    blocks = []
    for part in torch.split(nodes, _graphs(nodes)):
        scores, keys, queries = _COMPILED.scores(part, key, query)
        total = scores.sum(dim=2, keepdim=True)
        kept = scores * _coins(scores, random)
        result = torch.bmm(part.transpose(1, 2), kept.transpose(1, 2))
        result *= (2 / total).transpose(1, 2)
        blocks.append(Block(part, keys, queries, scores, kept, total, result))
    return torch.cat([block.result for block in blocks]), blocks


def learn(blocks: list[Block], gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the key's and the query's weights, each of shape ``(f, 1)``.

    Parameters
    ----------
    blocks : list of Block
        Of :func:`attend_with_dropout`.
    gradient : Tensor, shape (b, f, n)
        Of its result.
    """
    sums = []
    for block, upper in zip(blocks, torch.split(gradient, len(blocks[0].nodes)), strict=True):
        share = (upper * block.result).sum(dim=1).unsqueeze(2)
        pairs = torch.bmm((upper.transpose(1, 2) * (2 / block.total)), block.nodes.transpose(1, 2))
        pairs *= block.kept
        pairs.addcmul_(block.scores, share / block.total, value=-1)
        # A softmax hands on changes that cancel out along its rows, so the slope matters only
        # where the score is above zero, and in the sums over columns.
        by_query = pairs.sum(dim=1).mul_(_SLOPE)
        pairs *= torch.gt(block.key, -block.query, out=torch.empty_like(pairs))
        by_query.add_(pairs.sum(dim=1), alpha=1 - _SLOPE)
        by_key = pairs.sum(dim=2).mul_(1 - _SLOPE)
        flat = block.nodes.reshape(-1, block.nodes.shape[2]).t()
        sums.append(flat @ torch.stack([by_key.reshape(-1), by_query.reshape(-1)], dim=1))
    both = torch.stack(sums).sum(dim=0)
    return both[:, :1], both[:, 1:]


def _graphs(nodes: torch.Tensor) -> int:
    return max(1, _PAIRS // nodes.shape[1] ** 2)


def _coins(like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return zeros and ones, each as likely: the bits of random words."""
    words = torch.empty((like.numel() + 63) // 64, dtype=torch.int64)
    words.random_(-(2**63), None, generator=random)
    places = words.view(torch.uint8).to(device=like.device, dtype=torch.int32)
    bits = _BITS.to(like.device).index_select(0, places)
    return bits.view(-1)[: like.numel()].view_as(like)
