"""One to many: told a label, a GRU draws the digit, its eight rows one after another.

The label goes in once, as the state that the network starts from; a code z, eight numbers that say in which hand, goes
in at every step. What comes out step by step is the drawing:

    h_0 = start[label]         h_t = GRU(z, h_{t-1})         row_t = sigmoid(W h_t + b)          t = 1 … 8

Nobody knows the code of a real digit, so it is learned too: every one of scikit-learn's 1,797 digits has a row in an
Embedding, and its gradient, from all eight steps, moves it to where the network draws that digit best. AdamW pulls the
codes towards 0 meanwhile, and therefore new ones, drawn from a normal distribution of their width, give new digits.

What to look at: code 0 gives the label's typical shape, the others vary it as hands do. Whether the drawings are legible
is said by a classifier that has learned from real digits only, and whether they vary enough by their standard deviation.
"""

from __future__ import annotations

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import recurra

HIDDEN, CODE, RATE = 128, 8, 5e-3


class Artist:
    """Labels (B,) and codes (B, 8) in, drawings as rows (T = 8, B, 8) out."""

    def __init__(self, rng):
        self.start = recurra.Embedding(10, HIDDEN, seed=rng)
        self.gru = recurra.GRU(CODE, HIDDEN, seed=rng)
        self.row = recurra.Sequential(recurra.Linear(HIDDEN, 8, seed=rng), recurra.Sigmoid())

    def __call__(self, labels, z):
        h, _ = self.gru(np.broadcast_to(z, (8, *z.shape)), self.start(labels)[None])
        return self.row(h)

    def forward(self, labels, z):
        h_0, start_tape = self.start.forward(labels)  # (B, 128)
        h, _, gru_tape = self.gru.forward(np.broadcast_to(z, (8, *z.shape)), h_0[None])  # (8, B, 128)
        rows, row_tape = self.row.forward(h)  # (8, B, 8)
        return rows, (start_tape, gru_tape, row_tape)

    def backward(self, tapes, drows):
        """Returns the gradient of z: z served at all eight steps, so their gradients add up."""
        start_tape, gru_tape, row_tape = tapes
        dx, dh_0 = self.gru.backward(gru_tape, self.row.backward(row_tape, drows))
        self.start.backward(start_tape, dh_0[0])
        return dx.sum(axis=0)


def spread(images, labels):
    """The standard deviation of a pixel among images of one label."""
    return np.sqrt(np.mean([images[labels == digit].var(axis=0) for digit in range(10)]))


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=100)
    options = parse(options)
    rng = np.random.default_rng(options.seed)
    digits = load_digits()
    real, labels = (digits.images / 16).astype(np.float32), digits.target  # (1797, 8, 8), (1797,)

    artist, codes = Artist(rng), recurra.Embedding(len(real), CODE, seed=rng)
    codes.load_state_dict({"weight": 0.1 * codes.params["weight"]})  # all hands nearly alike at first
    adam = recurra.Adam([artist.start, artist.gru, artist.row], lr=RATE)
    adam_codes = recurra.AdamW(codes, lr=4 * RATE, weight_decay=0.3)
    for epoch in range(options.epochs):
        adam.lr = RATE * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
        adam_codes.lr = 4 * adam.lr
        losses = []
        for batch in np.array_split(rng.permutation(len(real)), 28):
            z, z_tape = codes.forward(batch)
            rows, tapes = artist.forward(labels[batch], z)
            loss, drows = recurra.mse(rows, real[batch].swapaxes(0, 1))
            for optimizer in (adam, adam_codes):
                optimizer.zero_grad()
            codes.backward(z_tape, artist.backward(tapes, drows))
            for optimizer in (adam, adam_codes):
                optimizer.step()
            losses.append(loss)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  mean squared error {np.mean(losses):.4f}")

    ten, hundred = np.arange(10), np.arange(1000) // 100
    plain = artist(ten, np.zeros((10, CODE), np.float32)).swapaxes(0, 1)  # one drawing per label: (10, 8, 8)
    z = (codes.params["weight"].std(axis=0) * rng.standard_normal((1000, CODE))).astype(np.float32)
    varied = artist(hundred, z).swapaxes(0, 1)  # a hundred per label: (1000, 8, 8)
    means = np.stack([real[labels == digit].mean(axis=0) for digit in ten])
    typical = [min(real[labels == digit], key=lambda image: ((image - means[digit]) ** 2).sum()) for digit in ten]
