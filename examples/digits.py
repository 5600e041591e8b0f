"""Many to one: an LSTM reads handwritten digits row by row and says, after the last row, which digit it was.

Each of the 1,797 digits that come with scikit-learn is an image of 8 by 8 pixels. To the network it is a sequence: at
step t it sees row t, 8 numbers, and nothing of the rows before but what its state h has kept. Only the last state goes
to the readout:

    h_t = LSTM(row_t, h_{t-1})   t = 1 … 8         scores = W h_8 + b          loss = -log softmax(scores)[label]

What to look at: the accuracy on digits that it never saw, and the picture. There, the last states of those digits, 128
numbers each, are cast on two axes, once by PCA, which looks for the largest spread and knows no labels, once by linear
discriminant analysis, which looks for the directions that tell the digits apart.
"""

from __future__ import annotations

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import train_test_split

import recurra

HIDDEN = 128


def as_steps(images):
    """(B, 8, 8) images -> (T = 8 rows, B, 8 pixels), the layout that recurra's layers read."""
    return images.swapaxes(0, 1)


def shifted_batches(images, labels, rng, size=32):
    """A function for `fit`: an epoch of (x, labels), each batch moved by up to a pixel in both directions.

    Moved digits are digits still, so the network sees nine times as many as there are.
    """
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1)))  # a dark border: (N, 10, 10)

    def epoch(_):
        order = rng.permutation(len(images))
        for rows in np.split(order, range(size, len(order), size)):
            left = rng.integers(3)
            yield as_steps(padded[rows, :, left : left + 8]), labels[rows]

    return epoch


def draw(fitted_on, labels, states, truth):
    """Both projections are found on the training digits and show the held-out ones."""
    picture, axes = figure(11, 5, columns=2)
    for axis, name, method in zip(
        axes, ("PCA", "LDA"), (PCA(2), LinearDiscriminantAnalysis(n_components=2)), strict=True
    ):
        points = method.fit(fitted_on, labels).transform(states)
        for digit in range(10):
            here = points[truth == digit]
            axis.scatter(*here.T, s=14, alpha=0.7, color=f"C{digit}")
            axis.text(*np.median(here, axis=0), digit, fontsize=16, weight="bold", ha="center", va="center")
        axis.set(title=f"last hidden states by {name}", xlabel=f"{name} axis 1", ylabel=f"{name} axis 2")
    save(picture, "digits")


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=100)
    options = parse(options)
    rng = np.random.default_rng(options.seed)

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)  # (1797, 8, 8), from 0 to 1
    # The split is always the same one, whatever the seed, so that runs can be compared.
    x, held_out, labels, truth = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )

    lstm, readout = recurra.LSTM(8, HIDDEN, seed=rng), recurra.Linear(HIDDEN, 10, seed=rng)
    model = recurra.Sequential(lstm, recurra.Last(), recurra.Dropout(0.3), readout)  # (8, B, 8) -> (B, 10)
    adam = recurra.Adam(model, lr=3e-3)

    def report(history):
        """Says how far it is, and lowers the rate along half a cosine."""
        epoch = len(history.losses)
        adam.lr = 3e-3 * (1.001 + np.cos(np.pi * epoch / options.epochs)) / 2
        if epoch % 10 == 0:
            right = (model(as_steps(held_out)).argmax(axis=1) == truth).mean()
            print(f"epoch {epoch:3d}  loss {history.losses[-1]:.4f}  held-out accuracy {right:.1%}")

    history = recurra.fit(
        model,
        shifted_batches(x, labels, rng),
        recurra.cross_entropy,
        adam,
        epochs=options.epochs,
        callback=report,
        rng=rng,
    )

    answers = model(as_steps(held_out)).argmax(axis=1)
    wrong = np.flatnonzero(answers != truth)
    print(f"\n{len(wrong)} of {len(truth)} digits misread:", *(f"{truth[i]} as {answers[i]}" for i in wrong), sep="  ")
    draw(lstm(as_steps(x))[1][0][0], labels, lstm(as_steps(held_out))[1][0][0], truth)
    finish(accuracy=float((answers == truth).mean()), loss=history.losses[-1], seconds=sum(history.seconds))


if __name__ == "__main__":
    main()
