"""Pairs of modules, torch.nn's and recurra.torch's, with the same weights, and what both of them do."""

from __future__ import annotations

import numpy as np
import torch

import recurra.torch

LAYERS = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def pair(kind, *args, **options):
    """Both of a kind, drawn from the same seed."""
    torch.manual_seed(7)
    theirs = getattr(torch.nn, kind)(*args, **options)
    torch.manual_seed(7)
    return theirs, getattr(recurra.torch, kind)(*args, **options)


def draw_options(rng, kind):
    """Sizes and options of a layer: 1, primes, all there is."""
    sizes = [int(rng.choice([1, 2, 3, 5, 7, 11, 17])) for _ in range(2)]
    options = {
        "num_layers": int(rng.integers(1, 4)),
        "bias": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
        "bidirectional": bool(rng.integers(2)),
    }
    if options["num_layers"] > 1 and rng.integers(2):
        options["dropout"] = float(rng.choice([0.2, 0.5, 1.0]))
    if kind == "LSTM" and sizes[1] > 1 and rng.integers(2):
        options["proj_size"] = int(rng.integers(1, sizes[1]))
    if kind == "RNN":
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    return sizes, options


def flat(result):
    """The tensors of nested tuples, those of packed sequences too."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, torch.nn.utils.rnn.PackedSequence):
        return [result.data]
    return [tensor for part in result for tensor in flat(part)]


def results(module, x, hx=None, *, seed=3, **others):
    """Outputs, and the gradients of the sum of random multiples of them: of x, the states and the parameters."""
    leaves = [t for t in flat((x, hx) if hx is not None else (x,)) if t.requires_grad and t.is_leaf]
    for leaf in (*leaves, *module.parameters()):
        leaf.grad = None
    torch.manual_seed(seed)
    outputs = flat(module(x, hx, **others))
    generator = torch.Generator().manual_seed(seed)
    dtype = outputs[0].dtype
    total = sum((out * torch.randn(out.shape, generator=generator, dtype=dtype)).sum() for out in outputs)
    total.backward()
    return [out.detach() for out in outputs] + [leaf.grad for leaf in (*leaves, *module.parameters())]


def assert_close(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        if one.numel():
            scale = max(1, other.abs().max().item())
            assert (one - other).abs().max().item() <= TOLERANCE[one.dtype] * scale


def draw_states(rng, module, rows, dtype):
    """An initial state of a layer, for `rows` () or (B,)."""
    directions = 2 if module.bidirectional else 1
    sizes = [module.proj_size or module.hidden_size]
    if isinstance(module, torch.nn.LSTM):
        sizes.append(module.hidden_size)
    states = [normal(rng, (module.num_layers * directions, *rows, size), dtype) for size in sizes]
    return tuple(states) if len(states) > 1 else states[0]


def normal(rng, shape, dtype=torch.float32):
    """A leaf."""
    return torch.from_numpy(rng.standard_normal(shape)).to(dtype).requires_grad_()


def generator(*seeds):
    return np.random.default_rng(seeds)
