"""The training of hello_rnn.py in NumPy, twice: plain, as one writes down the equations, and made to be fast.

The plain cells are those of `recurra.reference`, a call of one for every step, each adding its share of every gradient.
The fast ones are those that `python -m recurra` measures against: what doesn't wait for the step before is one product
over all steps, the rest is done in place. Everything around the cells is the same for both. Run by itself it runs that.
"""

from __future__ import annotations

import numpy as np

from recurra import reference
from recurra.bench.numpy_cells import NUMPY_LAYERS


class PlainLayer:
    """A layer's forward and backward over one sequence, step by step."""

    def __init__(self, cell, params):
        self.step, self.step_backward = {
            "rnn": (reference.rnn_step, reference.rnn_step_backward),
            "lstm": (reference.lstm_step, reference.lstm_step_backward),
            "gru": (reference.gru_step, reference.gru_step_backward),
        }[cell]
        self.weights = reference.Weights(*params.values())
        self.states = 2 if cell == "lstm" else 1  # h, and c

    def forward(self, x):
        """x (T, 1, I) -> h (T, 1, H)."""
        state, hs, self.kept = [np.zeros((1, self.weights.w_hh.shape[1]), np.float32)] * self.states, [], []
        for x_t in x:
            *state, kept = self.step(x_t, *state, self.weights)
            hs.append(state[0])
            self.kept.append(kept)
        return np.array(hs)

    def backward(self, x, dy, need_dx=False):  # noqa: ARG002 (the fast layers ask)
        """dy (T, 1, H) -> the gradients of the weights, added to `grads`."""
        state = [np.zeros_like(dy[0])] * self.states
        for dy_t, kept in zip(dy[::-1], self.kept[::-1], strict=True):
            state[0] = state[0] + dy_t
            _, *state, share = self.step_backward(*state, kept, self.weights)
            for name, value in zip(self.grads, share, strict=True):
                self.grads[name] += value


def train(cell, initial, x, target, epochs, fast=False, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
    """The loss of every epoch.

    Args:
        cell: "rnn", "lstm" or "gru".
        initial: the recurrent layer's parameters by PyTorch's names; the read-out's as weight (out, H), bias (out,).
        x, target: (T, I) and (T, out).
        fast: the cells made to be fast.
        epochs, lr, beta1, beta2, eps: of Adam (Kingma & Ba 2015), all parameters in one array.
    """
    params, flat = as_one(initial)
    grads, flat_grad = as_one(initial)
    m, v, scratch = (np.zeros_like(flat) for _ in range(3))
    weight, bias = params["weight"], params["bias"]
    weights = {name: value for name, value in params.items() if "_l0" in name}
    layer = NUMPY_LAYERS[cell](weights, len(x), batch=1) if fast else PlainLayer(cell, weights)
    layer.grads = {name: grads[name] for name in weights}
    x, losses = x[:, None], []
    for epoch in range(1, epochs + 1):
        h = layer.forward(x)[:, 0]
        error = h @ weight.T + bias - target
        losses.append(float(np.vdot(error, error)) / len(bias))
        dy = error * (2 / len(bias))
        flat_grad[:] = 0
        np.dot(dy.T, h, grads["weight"])
        np.sum(dy, axis=0, out=grads["bias"])
        layer.backward(x, (dy @ weight)[:, None], need_dx=False)

        m += np.multiply(np.subtract(flat_grad, m, scratch), 1 - beta1, scratch)
        v += np.multiply(np.subtract(np.multiply(flat_grad, flat_grad, scratch), v, scratch), 1 - beta2, scratch)
        np.sqrt(v, scratch)
        scratch /= (1 - beta2**epoch) ** 0.5
        scratch += eps
        np.divide(m, scratch, scratch)
        scratch *= lr / (1 - beta1**epoch)
        flat -= scratch
        if fast:
            layer.load(params)  # it keeps them turned
    return losses


def as_one(arrays):
    """Copies of the arrays by name, as views of one flat array; and that array."""
    flat = np.concatenate([value.ravel() for value in arrays.values()])
    ends = np.cumsum([value.size for value in arrays.values()])
    parts = zip(arrays.items(), np.split(flat, ends[:-1]), strict=True)
    return {name: part.reshape(value.shape) for (name, value), part in parts}, flat


if __name__ == "__main__":
    import hello_rnn

    hello_rnn.main()
