"""Layers of one's own, as documentation describes them, and subclasses of ours that compute something else."""

from __future__ import annotations

import numpy as np

import recurra


class Residual(recurra.Composite):
    """x + layer(x)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def __call__(self, x):
        return x + self.layer(x)

    def forward(self, x):
        y, tape = self.layer.forward(x)
        return x + y, tape

    def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):
        grads = self.grads_of("layer", grads)
        dx = self.layer.backward(tape, dy, need_dx=need_dx, grads=grads, retain=retain)
        return dy + dx if need_dx else None


class RecurrentResidual(recurra.Composite):
    """The same around something recurrent, so that it takes and hands on states."""

    def __init__(self, *layers):
        super().__init__()
        self.model = recurra.Sequential(*layers)

    def __call__(self, x, *, lengths=None):
        return x + self.model(x, lengths=lengths)

    def run(self, x, state=None, *, lengths=None):
        y, state = self.model.run(x, state, lengths=lengths)
        return x + y, state

    def forward(self, x, state=None, *, lengths=None, rng=None):
        y, tape = self.model.forward(x, state, lengths=lengths, rng=rng)
        return x + y, tape

    def backward(self, tape, dy, dstate=None, *, need_dx=True, grads=None, retain=False):
        grads = self.grads_of("model", grads)
        dx = self.model.backward(tape, dy, dstate, need_dx=need_dx, grads=grads, retain=retain)
        return dy + dx if need_dx else None


class Heads(recurra.Composite):
    """Several layers side by side, what they say in a row."""

    def __init__(self, *heads):
        super().__init__()
        self.heads = heads

    def __call__(self, x):
        return np.concatenate([head(x) for head in self.heads], axis=-1)

    def forward(self, x):
        parts, tapes = zip(*(head.forward(x) for head in self.heads), strict=True)
        return np.concatenate(parts, axis=-1), ([part.shape[-1] for part in parts], tapes)

    def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):
        sizes, tapes = tape
        parts = np.split(dy, np.cumsum(sizes)[:-1], axis=-1)
        dx = [
            head.backward(tapes[i], parts[i], need_dx=need_dx, grads=self.grads_of(f"heads.{i}", grads), retain=retain)
            for i, head in enumerate(self.heads)
        ]
        return sum(dx) if need_dx else None


class Plain:
    """No base class at all: twice a Linear."""

    def __init__(self, linear):
        self.linear = linear
        for name in ("params", "grads", "leaves", "state_dict", "load_state_dict"):
            setattr(self, name, getattr(linear, name))

    def __call__(self, x):
        return 2 * self.linear(x)

    def forward(self, x):
        y, tape = self.linear.forward(x)
        return 2 * y, tape

    def backward(self, tape, dy, **options):
        return self.linear.backward(tape, 2 * dy, **options)


def scaled(kind, factor=3):
    """A subclass whose outputs are so many times as large."""

    class Scaled(kind):
        def __call__(self, x, *arguments, **options):
            y = super().__call__(x, *arguments, **options)
            return (factor * y[0], y[1]) if isinstance(y, tuple) else factor * y

        def forward(self, x, *arguments, **options):
            y, *rest = super().forward(x, *arguments, **options)
            return (factor * y, *rest)

        def backward(self, tape, dy, *arguments, **options):
            return super().backward(tape, factor * dy, *arguments, **options)

        if kind is recurra.Sequential:

            def run(self, *arguments, **options):
                y, state = super().run(*arguments, **options)
                return factor * y, state

            def __call__(self, x, **options):
                return self.run(x, **options)[0]

    return Scaled
