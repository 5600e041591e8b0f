"""Compares the program of a formula with the formula itself; gradients by torch or by differences."""

import numpy as np

from program_numpy import Code, Machine
from recurra._quiet import quiet
from recurra.formula.operations import InputShape, Role


def sizes(formula, hidden, projected, input_size):
    """The size of x and those of the states."""
    states = [hidden] * len(formula.declared.states)
    if formula.layout.projects:
        states[0] = projected
    return hidden if formula.program.raw else input_size, states


def random_params(formula, rng, hidden=6, projected=4, input_size=5, scale=0.5):
    """Parameters by name, in order."""
    layout = formula.layout
    input_size, states = sizes(formula, hidden, projected, input_size)
    result = {}
    for parameter in layout.parameters:
        heads = parameter.heads
        if parameter.role == Role.INPUT_WEIGHT:
            shape = (parameter.blocks * hidden, input_size)
        elif parameter.role == Role.RECURRENT_WEIGHT:
            width = states[0] if layout.reads_projected(parameter.name) else hidden
            shape = (parameter.blocks * hidden, width // heads)
        elif parameter.role in {Role.INPUT_BIAS, Role.RECURRENT_BIAS}:
            shape = (parameter.blocks * hidden,)
        elif parameter.role == Role.PROJECTION:
            shape = (projected, hidden)
        else:
            shape = (hidden,) if parameter.role == Role.UNIT_VECTOR else ()
        result[parameter.name] = np.asarray(rng.normal(0, scale, shape))
    return result


class Problem:
    """A formula with random arrays for all it needs, T steps of B rows."""

    def __init__(self, formula, seed=0, T=3, B=2, hidden=6, input_size=5):
        rng = np.random.default_rng(seed)
        self.formula = formula
        self.hidden = hidden
        input_size, states = sizes(formula, hidden, 4, input_size)
        self.params = random_params(formula, rng, hidden, 4, input_size)
        self.xs = rng.normal(0, 1, (T, B, input_size))
        self.states = [rng.normal(0, 0.7, (B, n)) for n in states]
        shapes = {InputShape.PER_UNIT: (T, B, hidden), InputShape.PER_STEP: (T, B), InputShape.PER_ROW: (B, hidden)}
        self.inputs = {name: rng.uniform(0.2, 1, shapes[kind]) for name, kind in formula.declared.inputs.items()}
        self.douts = [[rng.normal(0, 1, (B, n)) for n in states] for _ in range(T)]

    def arrays(self):
        """All that a gradient is of: parameters, states, inputs, x."""
        return [*self.params.values(), *self.states, *self.inputs.values(), self.xs]

    @quiet
    def steps(self, arrays):
        """The states after each step, by calling the function; it may overflow where nothing comes of it."""
        formula = self.formula
        rest = list(arrays)
        params = {name: rest.pop(0) for name in self.params}
        states = tuple(rest.pop(0) for _ in self.states)
        inputs = {name: rest.pop(0) for name in self.inputs}
        xs = rest.pop(0)
        result = []
        for t in range(len(self.douts)):
            now = {
                name: v if formula.declared.inputs[name] == InputShape.PER_ROW else v[t] for name, v in inputs.items()
            }
            states = formula.run_step(xs[t], states, params, now)
            result.append(states)
        return result

    def loss(self, arrays):
        outs = self.steps(arrays)
        pairs = (pair for states, ds in zip(outs, self.douts, strict=True) for pair in zip(states, ds, strict=True))
        return sum((state * d).sum() for state, d in pairs)

    def of_program(self):
        """(states after each step, gradients of `arrays`) by the encoded program."""
        machine = Machine(Code(*self.formula.program.encode()), list(self.params.values()), self.hidden)
        order = self.formula.layout.order
        outs, dparams, dstates, dinputs, dxs = machine.train(
            self.xs,
            [self.states[k] for k in order],
            list(self.inputs.values()),
            [[step[k] for k in order] for step in self.douts],
        )
        declared = [order.index(k) for k in range(len(order))]
        outs = [[step[k] for k in declared] for step in outs]
        return outs, [*dparams, *(dstates[k] for k in declared), *dinputs, dxs]

    def by_torch(self):
        import torch

        tensors = [torch.tensor(np.array(a), dtype=torch.float64, requires_grad=True) for a in self.arrays()]
        douts = self.douts
        self.douts = [[torch.tensor(d) for d in ds] for ds in douts]
        try:
            loss = self.loss(tensors)
        finally:
            self.douts = douts
        gradients = [None] * len(tensors)
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        return [np.zeros(t.shape) if g is None else g.numpy() for g, t in zip(gradients, tensors, strict=True)]

    def assert_slopes(self, gradients, names):
        """Against central differences along three directions through each array, of random signs.

        An element that is wrong shows in each of them as much as by itself, for six passes instead of two by element.
        The step keeps truncation and rounding an order below the tolerance, however many elements move.
        """
        arrays, rng = [np.array(a, dtype=float) for a in self.arrays()], np.random.default_rng(0)
        assert len(gradients) == len(arrays)
        for k, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
            value, step = arrays[k], 1e-5 / np.sqrt(max(1, arrays[k].size))
            assert np.shape(gradient) == value.shape, name
            for _ in range(3):
                direction = rng.choice([-1.0, 1.0], value.shape)
                ends = [self.loss([*arrays[:k], value + s * direction, *arrays[k + 1 :]]) for s in (step, -step)]
                slope = (ends[0] - ends[1]) / (2 * step)
                error = abs(np.sum(gradient * direction) - slope) / largest(gradient)
                assert error <= 1e-6, f"slope by {name}: off by {error:.3g} of the largest"


def largest(array):
    return max(1.0, float(np.max(np.abs(array), initial=0)))


def assert_close(got, expected, tolerance, names):
    assert len(got) == len(expected)
    for name, g, e in zip(names, got, expected, strict=True):
        error = float(np.max(np.abs(np.asarray(g) - e), initial=0)) / largest(e)
        assert error <= tolerance, f"{name}: off by {error:.3g} of the largest"


def check(formula, seed=0, gradients="torch", **problem):
    """The program's states and gradients are those of the function; returns the problem."""
    p = Problem(formula, seed, **problem)
    outs, got = p.of_program()
    states = [s for out in outs for s in out]
    expected = [s for out in p.steps(p.arrays()) for s in out]
    assert all(np.all(np.isfinite(e)) for e in expected)
    assert_close(states, expected, 1e-10, [f"state {n}" for n in range(len(expected))])
    declared = formula.declared
    names = [*p.params, *declared.states, *declared.inputs, "x"]
    if gradients == "torch":
        assert_close(got, p.by_torch(), 1e-10, names)
    else:
        p.assert_slopes(got, names)
    return p
