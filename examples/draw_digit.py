"""One to many: told a label, a GRU draws the digit, its eight rows one after another.

The label goes in once, as the state that the network starts from; a code z, eight numbers that say in which hand, goes
in at every step. What comes out step by step is the drawing:

    h_0 = start[label]         h_t = GRU(z, h_{t-1})         row_t = sigmoid(W h_t + b)          t = 1 … 8

Nobody knows the code of a real digit, so it is learned too: each of scikit-learn's 1,797 digits has a row in an
Embedding, and the gradient moves it to where the network draws that digit best. A penalty, 0.01 |z|², keeps the codes
around 0, so that new ones, drawn from a normal distribution of their width, give new digits.

What to look at: code 0 gives a label its usual shape, and another code writes all labels in one hand, row by row.
Whether drawings are legible, a classifier says that knows real digits only; whether they vary enough, their deviation.
"""

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import recurra

HIDDEN, CODE, PENALTY, RATE = 128, 8, 0.01, 5e-3


def by_label(statistic, images, labels):
    """The statistic over the images of each label: (10, 8, 8)."""
    return np.stack([statistic(images[labels == digit], axis=0) for digit in range(10)])


def usual(images, axis):
    """The image that is nearest to the mean of all."""
    return images[((images - images.mean(axis)) ** 2).sum((1, 2)).argmin()]


def draw(images):
    """A row of ten real digits, and five of drawings: (6, 10, 8, 8)."""
    picture, axis = figure(9, 5.6)
    tiles = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))  # (6, 10, 10, 10)
    axis.imshow(tiles.swapaxes(1, 2).reshape(60, 100), cmap="gray_r")
    ticks, names = np.arange(4.5, 100, 10), ["real", *(f"code {i}" for i in range(5))]
    axis.set(xticks=ticks, xticklabels=range(10), xlabel="label", yticks=ticks[:6], yticklabels=names)
    save(picture, "draw_digit")


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=100, help="passes through the digits")
    options = parse(options)
    rng = np.random.default_rng(options.seed)
    flat, labels = load_digits(return_X_y=True)
    real = (flat / 16).astype(np.float32).reshape(-1, 8, 8)  # (1797, 8, 8), from 0 to 1

    start, codes = recurra.Embedding(10, HIDDEN, seed=rng), recurra.Embedding(len(real), CODE, seed=rng)
    codes.load_state_dict({"weight": codes.params["weight"] / 10})  # all hands nearly alike at first
    gru = recurra.GRU(CODE, HIDDEN, seed=rng)
    row = recurra.Sequential(recurra.Linear(HIDDEN, 8, seed=rng), recurra.Sigmoid())
    adam = recurra.Adam([start, codes, gru, row])
    for epoch in range(options.epochs):
        adam.lr = RATE * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
        total = 0.0
        for batch in np.array_split(rng.permutation(len(real)), 28):
            h_0, start_tape = start.forward(labels[batch])  # (B, 128)
            z, z_tape = codes.forward(batch)  # (B, 8)
            h, _, gru_tape = gru.forward(np.broadcast_to(z, (8, *z.shape)), h_0[None])  # (T = 8, B, 128)
            rows, row_tape = row.forward(h)  # (8, B, 8)
            loss, drows = recurra.mse(rows, real[batch].swapaxes(0, 1))
            adam.zero_grad()
            dx, dh_0 = gru.backward(gru_tape, row.backward(row_tape, drows))
            start.backward(start_tape, dh_0[0])
            dz = dx.sum(axis=0)  # z served at all eight steps, so their gradients add up
            codes.backward(z_tape, dz + np.float32(2 * PENALTY / len(z)) * z)
            adam.step()
            total += loss / 28
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  mean squared error of a pixel {total:.4f}")

    def drawings(labels, z):  # (B,) and (B, 8) -> images (B, 8, 8)
        h, _ = gru(np.broadcast_to(z, (8, *z.shape)), start(labels)[None])
        return row(h).swapaxes(0, 1)

    asked = np.arange(1000) % 10
    z = codes.params["weight"].std(axis=0) * rng.standard_normal((1000, CODE), np.float32)
    varied = drawings(asked, z)  # each with a code of its own
    z[0] = 0
    shown = drawings(asked[:50], z[:5].repeat(10, axis=0))  # five codes, the first one 0, each with all labels
    means = by_label(np.mean, real, labels)
    mse, real_mse = np.mean((shown[:10] - means) ** 2), np.mean((real - means[labels]) ** 2)
    print(f"\nsquared distance from the label's mean image: code 0 {mse:.4f}, a real digit {real_mse:.4f}")
    legible = KNeighborsClassifier(3).fit(flat, labels).score(16 * varied.reshape(-1, 64), asked)
    print(f"of 1000 drawings a classifier of real digits reads {legible:.1%} as they were meant")
    spread = np.sqrt(by_label(np.var, varied, asked).mean() / by_label(np.var, real, labels).mean())
    print(f"their standard deviation within a label is {spread:.0%} of that of real digits")
    draw(np.stack([by_label(usual, real, labels), *shown.reshape(5, 10, 8, 8)]))
    finish(mse=float(mse), real_mse=float(real_mse), legible=legible, spread=float(spread), loss=total)


if __name__ == "__main__":
    main()
