"""Neurons that fire: a spiking network reads handwritten digits, of which it gets a single spike for each pixel.

The brighter a pixel, the sooner it fires; dark ones never do. Leaky integrate-and-fire neurons add up what arrives and
fire where their potential v passes 1, which costs them as much. They reach each other, and ten readers that don't fire:
whose potential is highest in the end says which digit it was.

    v_t = 0.9 v_{t-1} + W_ih x_t + W_hh z_{t-1} + b - z_{t-1}          z_t = 1 where v_t > 1, else 0

A step has no slope to train by. On the way back, and only there, it is taken to have that of d / (1 + 25 |d|), where d
is v - 1: a surrogate gradient, which is `given_slope` in the formula of `recurra.cells.LIF`. That of the readers stands
below. All else is a model like any other, made by `Sequential` and trained by `fit`.

What to look at: how few spikes it takes. The picture has, from the top, a digit's, the neurons', and the readers.
"""

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import recurra
from recurra.cells import LIF

STEPS, NEURONS, RATE = 20, 100, 5e-3


@recurra.formula(gates="o")
def Reader(a, s):
    return 0.95 * s.h + a.o.x


def by_spikes(images):
    """(N, 64) pixels, 0 to 16 -> (STEPS, N, 64) spikes, each at the step that its pixel's darkness says."""
    times = np.where(images > 2, np.round((16 - images) * (STEPS - 1) / 14), -1)
    return (times == np.arange(STEPS)[:, None, None]).astype(np.float32)


def draw(inputs, spikes, potentials, digit):
    picture, axes = figure(8, 6.5, rows=3)
    axes[0].get_gridspec().set_height_ratios([2, 3, 2])
    for axis, raster, what in zip(axes, (inputs, spikes), ("pixel", "neuron"), strict=False):
        axis.scatter(*raster.nonzero(), s=12, marker="|", color="black")
        axis.set(ylabel=what, ylim=(-1, raster.shape[1]))
    for name, potential in enumerate(potentials.T):
        axes[2].plot(potential, label=name, lw=3 if name == digit else 1)
    picture.legend(loc="outside right lower", title="reader of")
    axes[2].set(ylabel="potential", xlabel="step")
    for axis in axes:
        axis.set(xlim=(-0.5, STEPS - 0.5), xticks=range(0, STEPS, 2))
    axes[0].set_title(f"{digit}: {inputs.sum():.0f} spikes come in, {spikes.sum():.0f} answer")
    save(picture, "spikes")


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=30, help="passes through the digits")
    options = parse(options)
    rng = np.random.default_rng(options.seed)
    digits = load_digits()
    x, unseen, labels, truth = train_test_split(digits.data, digits.target, stratify=digits.target, random_state=0)

    neurons, readers = LIF(64, NEURONS, seed=rng), Reader(NEURONS, 10, seed=rng)
    stronger = {"weight_ih_l0": 4 * neurons.params["weight_ih_l0"]}  # or nobody would fire, and nothing be learned
    neurons.load_state_dict(neurons.state_dict() | stronger)
    model = recurra.Sequential(neurons, readers, recurra.Last())  # (STEPS, B, 64) -> (B, 10)
    adam = recurra.Adam(model, lr=RATE)

    def batches(epoch):
        adam.lr = RATE * (1 - epoch / options.epochs)
        noisy = x + rng.normal(0, 1, x.shape)  # some spikes come sooner, some later
        return [(by_spikes(noisy[rows]), labels[rows]) for rows in np.array_split(rng.permutation(len(x)), 42)]

    def report(history):
        if (epoch := len(history.losses)) % 5 == 0:
            right = (model(by_spikes(unseen)).argmax(axis=1) == truth).mean()
            print(f"epoch {epoch:3d}  loss {history.losses[-1]:.4f}  unseen digits {right:.1%}")

    history = recurra.fit(model, batches, recurra.cross_entropy, adam, epochs=options.epochs, callback=report)

    seen = by_spikes(unseen)
    spikes, _ = neurons(seen)
    potentials, (last,) = readers(spikes)
    right = last.argmax(axis=1) == truth
    one = right.argmax()  # the first that it reads
    draw(seen[:, one], spikes[:, one], potentials[:, one], truth[one])
    finish(accuracy=right.mean(), loss=history.losses[-1], spikes_a_digit=float(spikes.sum() / len(truth)))


if __name__ == "__main__":
    main()
