"""Two networks against each other: one invents handwritten digits, the other tells them from real ones.

The generator makes an image of 8 by 8 pixels from a code of 100 random numbers and never sees a real one. All it learns
comes from the discriminator, whose gradient with respect to the image says what would have looked more real. With
`--recurrent` it is a GRU, which gets the code at every step and emits the image row by row.

What to look at: the losses don't tell how good the images are, as each is measured against an opponent who learns too.
So a classifier that knows real digits only says how many it recognises with at least 90 % confidence, which compares
with unseen real digits and with the untrained generator, and how often each of the ten is among them. In the picture
each row on the right walks from one code to another.
"""

from functools import partial

import numpy as np
from common import figure, finish, parse, parser, save
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import recurra


def draw(name, **panels):
    """Panels of eight rows of eight images each, (64, 64 pixels), by their titles."""
    picture, axes = figure(12, 4.3, columns=len(panels))
    for axis, title in zip(axes, panels, strict=True):
        tiles = np.pad(panels[title].reshape(8, 8, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
        axis.imshow(tiles.swapaxes(1, 2).reshape(80, 80), cmap="gray_r", vmin=-1, vmax=1)
        axis.set(title=title.replace("_", " "), xticks=[], yticks=[])
    save(picture, name)


def main():
    options = parser(__doc__)
    options.add_argument("--recurrent", action="store_true", help="the generator is a GRU")
    options.add_argument("--steps", type=int, help="of training; 12000 if none is given, with --recurrent 5000")
    options = parse(options)
    steps = options.steps or (5000 if options.recurrent else 12000)
    rng = np.random.default_rng(options.seed)
    flat, labels = load_digits(return_X_y=True)
    real = (flat / 8 - 1).astype(np.float32)  # (1797, 64), from -1 to 1 like the values of Tanh
    known = np.arange(len(real)) % 4 > 0  # to the classifier
    classifier = LogisticRegression(C=0.3, max_iter=1000).fit(real[known], labels[known])

    linear = partial(recurra.Linear, seed=rng)
    discriminator = recurra.Sequential(linear(64, 256), recurra.ReLU(), recurra.Dropout(0.3), linear(256, 1))
    generator = recurra.Sequential(linear(100, 256), recurra.ReLU(), linear(256, 64), recurra.Tanh())
    if options.recurrent:  # (B, T = 8, 100) -> (B, 8, 8) instead of (B, 100) -> (B, 64)
        gru = recurra.GRU(100, 128, batch_first=True, seed=rng)
        generator = recurra.Sequential(gru, linear(128, 8), recurra.Tanh())

    def codes(count):
        z = rng.standard_normal((count, 100), np.float32)
        return z[:, None].repeat(8, axis=1) if options.recurrent else z

    def samples(count):
        return generator(codes(count)).reshape(-1, 64)

    def judge(x, answer):
        """The discriminator's loss if `answer` is what it should say of images x (B, 64), and x's gradient."""
        unsharp = x + 0.3 * rng.standard_normal(x.shape, np.float32)  # or it would learn the real ones by heart
        logits, tape = discriminator.forward(unsharp, rng=rng)  # (B, 1)
        loss, dlogits = recurra.binary_cross_entropy(logits, np.full_like(logits, answer))
        return loss, discriminator.backward(tape, dlogits)

    def recognised(x):
        """The shares of images of which the classifier is certain that they are a 0, a 1, …: (10,)."""
        chances = classifier.predict_proba(x)
        return np.bincount(chances.argmax(axis=1)[chances.max(axis=1) >= 0.9], minlength=10) / len(x)

    real_share, first_share = recognised(real[~known]).sum(), recognised(samples(1000)).sum()
    d_adam, g_adam = (recurra.Adam(model, betas=(0.5, 0.999)) for model in (discriminator, generator))
    for step in range(steps):
        d_adam.lr, g_adam.lr = 1e-3 * (1 - step / steps), 2e-3 * (1 - step / steps)
        d_adam.zero_grad()
        d_loss = judge(rng.choice(real, 64), 0.9)[0] + judge(samples(64), 0)[0]  # 0.9: never be quite sure
        d_adam.step()

        g_adam.zero_grad()
        made, tape = generator.forward(codes(64))
        g_loss, dx = judge(made.reshape(-1, 64), 1)  # adds to the discriminator's gradients, too, but no step follows
        generator.backward(tape, dx.reshape(made.shape), need_dx=False)
        g_adam.step()
        if (step + 1) % (steps // 8 or 1) == 0:
            said = recognised(samples(1000)).sum()
            print(f"step {step + 1:5d}  discriminator {d_loss:.3f}  generator {g_loss:.3f}  recognised {said:.0%}")

    shares = recognised(samples(1000))
    print(f"\nrecognised: {shares.sum():.1%} of samples, untrained {first_share:.1%}; {real_share:.1%} of real digits")
    print("as: " + ", ".join(f"{digit} {share:.1%}" for digit, share in enumerate(shares)))
    a, b, angles = codes(8), codes(8), np.linspace(0, np.pi / 2, 8, dtype=np.float32)
    walks = np.stack([generator(np.cos(angle) * a + np.sin(angle) * b) for angle in angles], axis=1)
    draw("gan" + "_recurrent" * options.recurrent, real=real[:64], generated=samples(64), between_two_codes=walks)
    finish(recognised=shares.sum(), real=real_share, untrained=first_share, classes=(shares >= 0.01).sum())


if __name__ == "__main__":
    main()
