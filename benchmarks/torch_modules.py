"""recurra.torch's modules against torch.nn's, within torch's autograd: `python benchmarks/torch_modules.py`.

One thread, float32, in turns within one process; README.md beside this file has what the rows are.
"""

from __future__ import annotations

import argparse
import gc
import time
from math import exp, log
from statistics import median

import numpy as np
import torch

import recurra
import recurra.cells
import recurra.torch
from recurra.bench.cells.peer_torch import NETWORKS
from recurra.bench.cells.problem import FORMULAS

SHAPES = [
    (1, 100, 32, 32), (1, 100, 128, 128), (1, 100, 256, 256), (1, 100, 512, 512), (8, 100, 64, 64),
    (16, 50, 128, 128), (32, 100, 128, 256), (64, 50, 256, 512), (128, 30, 128, 128), (64, 20, 512, 1024),
]  # fmt: skip
PACKED = [(16, 200, 128, 128), (32, 200, 128, 256), (64, 200, 64, 64)]
OWN = [(1, 100, 128, 128), (32, 50, 64, 64), (32, 100, 128, 256)]
STEPS = [(1, steps, hidden, hidden) for hidden in (16, 32, 64) for steps in (1, 100)]


def turn(call, seconds):
    """Seconds a call, over as many as fill the turn."""
    call()
    gc.disable()
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            gc.enable()
            return spent / count


def race(label, calls, options):
    """Times of the contestants, and how many times as fast as each of the others the first is: the first such ratio."""
    ours, *others = calls
    times = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name].append(turn(call, options.milliseconds / 1000))
    ratios = [median(times[name]) / median(times[ours]) for name in others]
    text = f"{label:34s} {ours} {median(times[ours]) * 1e6:9.1f} µs"
    for name, ratio in zip(others, ratios, strict=True):
        fastest = min(times[name]) / min(times[ours])
        text += f"   {name} {median(times[name]) * 1e6:9.1f} µs × {ratio:.2f} (minima × {fastest:.2f})"
    print(text, flush=True)
    return ratios[0]


def trained(module, x, dy):
    """A call: forward, then backward to the input and every weight."""
    leaves = [*module.parameters(), x]

    def call():
        for leaf in leaves:
            leaf.grad = None
        y = module(x)[0]
        y = y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y
        y.backward(dy)

    return call


def agree(ours, theirs, x, tolerance=1e-4):
    """The same answers, or there is nothing to race."""
    with torch.no_grad():
        pairs = [module(x)[0] for module in (ours, theirs)]
    pairs = [y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y for y in pairs]
    error = (pairs[0] - pairs[1]).abs().max().item()
    if error > tolerance:
        raise SystemExit(f"the answers differ by {error:.2g}")


def training(kind, shape, options):
    """A layer, from a gradient of every output."""
    batch, steps, inputs, hidden = shape
    torch.manual_seed(0)
    theirs, x = getattr(torch.nn, kind)(inputs, hidden), torch.randn(steps, batch, inputs, requires_grad=True)
    ours = getattr(recurra.torch, kind)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    agree(ours, theirs, x)
    dy = torch.randn(steps, batch, hidden)
    calls = {"recurra.torch": trained(ours, x, dy), "torch.nn": trained(theirs, x, dy)}
    return race(f"{kind} training {'x'.join(map(str, shape))}", calls, options)


def packed(kind, shape, options):
    """Sequences of lengths uniform in 1..T, packed before."""
    batch, steps, inputs, hidden = shape
    torch.manual_seed(0)
    theirs, lengths = getattr(torch.nn, kind)(inputs, hidden), torch.randint(1, steps + 1, (batch,))
    ours = getattr(recurra.torch, kind)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    given = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(steps, batch, inputs), lengths, enforce_sorted=False)
    agree(ours, theirs, given)
    data = given.data.requires_grad_()
    dy = torch.randn(len(data), hidden)
    x = torch.nn.utils.rnn.PackedSequence(data, *given[1:])
    calls = {}
    for name, module in (("recurra.torch", ours), ("torch.nn", theirs)):
        leaves = [*module.parameters(), data]

        def call(module=module, leaves=leaves):
            for leaf in leaves:
                leaf.grad = None
            module(x)[0].data.backward(dy)

        calls[name] = call
    return race(f"{kind} packed {'x'.join(map(str, shape))}", calls, options)


class Loop(torch.nn.Module):
    """A function of x and the parameters of a module, which loops over the steps."""

    def __init__(self, run, parameters):
        super().__init__()
        self.run = run
        for name, value in parameters.items():
            self.register_parameter(name, torch.nn.Parameter(torch.as_tensor(value).clone()))

    def forward(self, x):
        y, *_ = self.run(dict(self.named_parameters()), x)
        return y, None


def plain_loop(cell, hidden):
    """The equations as they are written, step by step."""

    def run(parameters, x):
        w = {name.removesuffix("_l0"): value for name, value in parameters.items()}
        states, y = [x.new_zeros(x.shape[1], hidden) for _ in cell.states], []
        for step in x.unbind():
            states = cell.run_step(step, states, w)
            y.append(states[0])
        return torch.stack(y), None

    return run


def formula(name, shape, options):
    """A cell that torch hasn't, against loops over the steps: one made fast by hand, and its equations."""
    batch, steps, inputs, hidden = shape
    torch.manual_seed(0)
    cell = FORMULAS[name]
    layer_type = getattr(recurra.cells, cell.formula)
    ours = recurra.torch.as_module(layer_type)(inputs, hidden)
    arrays = {key: value.numpy() for key, value in ours.state_dict().items()}
    fast = Loop(NETWORKS[name], cell.join(arrays))
    plain = Loop(plain_loop(layer_type.formula, hidden), arrays)
    x, dy = torch.randn(steps, batch, inputs, requires_grad=True), torch.randn(steps, batch, hidden)
    for loop in (fast, plain):
        agree(ours, loop, x, 1e-3)  # the normalisation of almost nothing, at the first steps, magnifies rounding
    contestants = {"recurra.torch": ours, "fast loop": fast, "plain loop": plain}
    calls = {key: trained(module, x, dy) for key, module in contestants.items()}
    return race(f"{name} training {'x'.join(map(str, shape))}", calls, options)


def overhead(kind, shape, options):
    """What a module costs beside the same call on arrays, in inference mode."""
    batch, steps, inputs, hidden = shape
    module, layer = getattr(recurra.torch, kind)(inputs, hidden), getattr(recurra, kind)(inputs, hidden)
    layer.load_state_dict({name: value.numpy() for name, value in module.state_dict().items()})
    array = np.random.default_rng(0).standard_normal((steps, batch, inputs), np.float32)
    x = torch.from_numpy(array)
    with torch.inference_mode():
        times = {"arrays": [], "tensors": []}
        for _ in range(options.rounds):
            times["arrays"].append(turn(lambda: layer(array), options.milliseconds / 1000))
            times["tensors"].append(turn(lambda: module(x), options.milliseconds / 1000))
    medians, minima = ({name: pick(value) * 1e6 for name, value in times.items()} for pick in (median, min))
    more, least = (each["tensors"] - each["arrays"] for each in (medians, minima))
    label = f"{kind} inference {'x'.join(map(str, shape))}"
    print(f"{label:34s} arrays {medians['arrays']:8.1f} µs   + {more:5.1f} µs (minima + {least:5.1f})", flush=True)


PARTS = {
    "overhead": (overhead, ("LSTM", "GRU", "RNN"), STEPS),
    "training": (training, ("LSTM", "GRU", "RNN"), SHAPES),
    "packed": (packed, ("LSTM", "GRU"), PACKED),
    "formulas": (formula, ("peephole", "layernorm"), OWN),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--cells", help="of that part, as in LSTM,GRU")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant in a row (default 5)")
    parser.add_argument("--milliseconds", type=float, default=20, help="what a turn takes at least (default 20)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recurra.set_num_threads(1)
    for name, (run, kinds, shapes) in PARTS.items():
        if options.only in {None, name}:
            for kind in options.cells.split(",") if options.cells else kinds:
                ratios = [run(kind, shape, options) for shape in shapes]
                if name != "overhead":
                    mean = exp(sum(map(log, ratios)) / len(ratios))
                    print(f"{kind} {name}: geometric mean × {mean:.2f}, least × {min(ratios):.2f}\n", flush=True)


if __name__ == "__main__":
    main()
