"""Many to one: an LSTM reads handwritten digits row by row and says, after the last row, which digit it was.

Each of the 1,797 digits that come with scikit-learn is an image of 8 by 8 pixels. To the network it is a sequence: at
step t it sees row t, 8 numbers, and of the rows before only what its state h has kept. Nothing but the last state goes
to the readout:

    h_t = LSTM(row_t, h_{t-1})   t = 1 … 8         scores = W h_8 + b          loss = -log softmax(scores)[label]

What to look at: the accuracy on digits that it never saw, and the picture. There, the last states of those digits, 128
numbers each, are cast on two axes, once by PCA, which looks for the largest spread and knows no labels, once by linear
discriminant analysis, which looks for the directions that tell the labels apart.
"""

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestCentroid

import recurra

HIDDEN, RATE = 128, 3e-3


def by_row(images):
    """(B, 8, 8) images -> (T = 8 rows, B, 8 pixels), the layout that recurra's layers read."""
    return images.swapaxes(0, 1)


def draw(states, labels, unseen, truth):
    """Both projections are found with the training digits' states (N, 128), and show the unseen ones."""
    picture, axes = figure(11, 5, columns=2)
    lda = LinearDiscriminantAnalysis("eigen", shrinkage="auto", n_components=2)
    for axis, name, method in zip(axes, ("PCA", "LDA"), (PCA(2), lda), strict=True):
        known, points = method.fit(states, labels).transform(states), method.transform(unseen)
        right = NearestCentroid().fit(known, labels).score(points, truth)
        for digit in range(10):
            here = points[truth == digit]
            axis.scatter(*here.T, s=14, alpha=0.7, color=f"C{digit}")
            axis.text(*np.median(here, axis=0), digit, fontsize=16, weight="bold", ha="center", va="center")
        axis.set_title(f"last hidden states by {name}: {right:.0%} nearest their mean")
        axis.set(xlabel=f"{name} axis 1", ylabel=f"{name} axis 2")
    save(picture, "digits")


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=100, help="passes through the digits")
    options = parse(options)
    rng = np.random.default_rng(options.seed)

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)  # (1797, 8, 8), from 0 to 1
    # The split is the same one whatever the seed, so that runs can be compared.
    x, unseen, labels, truth = train_test_split(images, digits.target, stratify=digits.target, random_state=0)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1)))  # (1347, 8, 10), with a dark margin left and right

    lstm, readout = recurra.LSTM(8, HIDDEN, seed=rng), recurra.Linear(HIDDEN, 10, seed=rng)
    model = recurra.Sequential(lstm, recurra.Last(), recurra.Dropout(0.3), readout)  # (8, B, 8) -> (B, 10)
    adam = recurra.Adam(model, lr=RATE)

    def batches(epoch):
        """All digits in a new order, each batch moved left or right by up to a pixel; the rate falls meanwhile."""
        adam.lr = RATE * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
        for rows in np.array_split(rng.permutation(len(x)), 42):
            left = rng.integers(3)
            yield by_row(wide[rows, :, left : left + 8]), labels[rows]

    def answers():
        return model(by_row(unseen)).argmax(axis=1)

    def report(history):
        epoch = len(history.losses)
        if epoch % 10 == 0:
            print(f"epoch {epoch:3d}  loss {history.losses[-1]:.4f}  unseen digits {(answers() == truth).mean():.1%}")

    history = recurra.fit(model, batches, recurra.cross_entropy, adam, epochs=options.epochs, callback=report, rng=rng)

    said = answers()
    wrong = np.flatnonzero(said != truth)
    print(
        f"\n{len(wrong)} of {len(truth)} unseen digits misread: " + ", ".join(f"{truth[i]} as {said[i]}" for i in wrong)
    )
    (_, (h_x, _)), (_, (h_unseen, _)) = lstm(by_row(x)), lstm(by_row(unseen))  # the last states, (1, N, 128)
    draw(h_x[0], labels, h_unseen[0], truth)
    finish(accuracy=float((said == truth).mean()), loss=history.losses[-1], seconds=sum(history.seconds))


if __name__ == "__main__":
    main()
