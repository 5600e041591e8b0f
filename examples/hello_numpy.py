"""The training of hello_rnn.py in plain NumPy, written to be fast: what its time is compared with.

The cells are the careful ones that `python -m recurra` measures against. All parameters lie in one array, and so do
their gradients, so that Adam is a handful of calls.
"""

from __future__ import annotations

import numpy as np

from recurra.bench.numpy_cells import NUMPY_LAYERS


def train(cell, initial, x, target, epochs, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
    """The loss of every epoch.

    Args:
        cell: "rnn", "lstm" or "gru".
        initial: the recurrent layer's parameters by PyTorch's names; the read-out's as weight (out, H), bias (out,).
        x, target: (T, I) and (T, out).
        epochs, lr, beta1, beta2, eps: of Adam (Kingma & Ba 2015).
    """
    params, flat = as_one(initial)
    grads, flat_grad = as_one(initial)
    m, v, scratch = (np.zeros_like(flat) for _ in range(3))
    weight, bias = params["weight"], params["bias"]
    layer = NUMPY_LAYERS[cell]({name: value for name, value in params.items() if "_l0" in name}, len(x), batch=1)
    layer.grads = grads
    x = x[:, None]
    losses = []
    for epoch in range(1, epochs + 1):
        h = layer.forward(x)[:, 0]
        error = h @ weight.T + bias - target
        losses.append(float(np.vdot(error, error)) / len(bias))
        dy = error * (2 / len(bias))
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
        layer.load(params)
    return losses


def as_one(arrays):
    """Copies of the arrays by name, as views of one flat array; and that array."""
    flat = np.concatenate([value.ravel() for value in arrays.values()])
    ends = np.cumsum([value.size for value in arrays.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(value.shape) for (name, value), part in zip(arrays.items(), parts, strict=True)}, flat
