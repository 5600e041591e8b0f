"""One to many: told a label, a GRU draws the digit, its eight rows one after another.

The label goes in once, as the state that the network starts from; a code z, eight numbers that say in which hand, goes
in at every step. What comes out step by step is the drawing:

    h_0 = start[label]         h_t = GRU(z, h_{t-1})         row_t = sigmoid(W h_t + b)          t = 1 … 8

Nobody knows the code of a real digit, so it is learned too: each of scikit-learn's 1,797 digits has a row in an
Embedding, and the gradient moves it to where the network draws that digit best. A penalty, 0.01 |z|², keeps the codes
around 0, so that new ones, drawn from a normal distribution of their width, give new digits.

What to look at: code 0 gives a label's usual shape, others vary it as hands do. How legible the drawings are, a
classifier says that has learned from real digits only; whether they vary enough, their standard deviation.
"""

from __future__ import annotations

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import recurra

HIDDEN, CODE, PENALTY, RATE = 128, 8, 0.01, 5e-3


def eightfold(z):
    """A code (B, 8) at every step: (T = 8, B, 8)."""
    return np.broadcast_to(z, (8, *z.shape))


def by_label(statistic, images, labels):
    """The statistic over the images of each label: (10, 8, 8)."""
    return np.stack([statistic(images[labels == digit], axis=0) for digit in range(10)])


def draw(*rows):
    """Rows of ten images each, with a name."""
    picture, axes = figure(9, 0.92 * len(rows), rows=len(rows), columns=10)
    for line, (name, images) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    save(picture, "draw_digit")


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=100)
    options = parse(options)
    rng = np.random.default_rng(options.seed)
    digits = load_digits()
    real, labels = (digits.images / 16).astype(np.float32), digits.target  # (1797, 8, 8), (1797,)

    start, codes = recurra.Embedding(10, HIDDEN, seed=rng), recurra.Embedding(len(real), CODE, seed=rng)
    gru, row = (
        recurra.GRU(CODE, HIDDEN, seed=rng),
        recurra.Sequential(recurra.Linear(HIDDEN, 8, seed=rng), recurra.Sigmoid()),
    )
    codes.load_state_dict({"weight": codes.params["weight"] / 10})  # all hands nearly alike at first
    adam = recurra.Adam([start, codes, gru, row])
    for epoch in range(options.epochs):
        adam.lr = RATE * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
        losses = []
        for batch in np.array_split(rng.permutation(len(real)), 28):
            h_0, start_tape = start.forward(labels[batch])  # (B, 128)
            z, z_tape = codes.forward(batch)  # (B, 8)
            h, _, gru_tape = gru.forward(eightfold(z), h_0[None])  # (8, B, 128)
            rows, row_tape = row.forward(h)  # (8, B, 8)
            loss, drows = recurra.mse(rows, real[batch].swapaxes(0, 1))

            adam.zero_grad()
            dx, dh_0 = gru.backward(gru_tape, row.backward(row_tape, drows))
            start.backward(start_tape, dh_0[0])
            dz = dx.sum(axis=0)  # z served at all eight steps, so their gradients add up
            codes.backward(z_tape, dz + np.float32(2 * PENALTY / len(z)) * z)
            adam.step()
            losses.append(loss)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  mean squared error of a pixel {np.mean(losses):.4f}")

    def drawing(label, z):
        """Labels (B,) and codes (B, 8) -> images (B, 8, 8)."""
        return row(gru(eightfold(z), start(label)[None])[0]).swapaxes(0, 1)

    asked = np.arange(1000) % 10
    width = codes.params["weight"].std(axis=0)
    varied = drawing(asked, width * rng.standard_normal((1000, CODE), np.float32))
    usual = drawing(asked[:10], np.zeros((10, CODE), np.float32))

    means = by_label(np.mean, real, labels)
    off, apart = np.mean((usual - means) ** 2), np.mean((real - means[labels]) ** 2)
    print(f"\nsquared distance from the label's mean: code 0 {off:.4f}, a real digit {apart:.4f}")
    legible = KNeighborsClassifier(3).fit(real.reshape(-1, 64), labels).score(varied.reshape(-1, 64), asked)
    print(f"of 1000 drawings a classifier of real digits reads {legible:.1%} as they were meant")
    spread = np.sqrt(by_label(np.var, varied, asked).mean() / by_label(np.var, real, labels).mean())
    print(f"their standard deviation within a label is {spread:.0%} of that of real digits")
    typical = [
        real[np.where(labels == digit, ((real - means[digit]) ** 2).sum((1, 2)), np.inf).argmin()]
        for digit in range(10)
    ]
    draw(("real", typical), ("code 0", usual), *((f"code {i + 1}", varied[10 * i : 10 * i + 10]) for i in range(4)))
    finish(mse=float(off), real_mse=float(apart), legible=legible, spread=float(spread), loss=float(np.mean(losses)))


if __name__ == "__main__":
    main()
