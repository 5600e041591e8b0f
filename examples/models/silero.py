"""silero-vad, which tells speech from other sound: its convolutions as products, its LSTM of 128, chunk by chunk.

Every chunk of 512 samples, with 64 of the one before, is turned into four spectra of 129 frequencies. Convolutions over
them are products with windows of spectra; where the kernels of the last two would see padding only, their weights are
left out, so that all from the third convolution on is one `Sequential` over the chunks, in a `Stream` that keeps its
state. What to look at: probabilities are those of the package to 1e-5, and segments of speech are the same.

pip install --no-deps silero-vad; pip install onnx onnxruntime
"""

import numpy as np
from packages import arrays_of, file_of, filled, parser, race, session, size_of, versions
from sounds import RATE, speech

import recurra

CHUNK, CONTEXT = 512, 64  # samples that are new in a chunk, and that are read again before them

NOISES = (0.003, 0.01, 0.03, 0.003, 0.001, 0.02, 0.05, 0.0003)  # of a minute of sound, where voices are 0.1 to 0.5


def windows(x, width, stride):
    """Contiguous (N, T, F) -> (N, T', width * F): features of `width` steps side by side, every `stride` steps."""
    count, steps, features = x.shape
    shape = count, (steps - width) // stride + 1, width * features
    strides = np.array([steps * features, stride * features, 1]) * x.itemsize
    return np.ndarray(shape, x.dtype, x, strides=strides)  # a view, in which they overlap


def padded(x):
    """(N, T, F) -> (N, T + 2, F): zeros before and after."""
    y = np.zeros((x.shape[0], x.shape[1] + 2, x.shape[2]), np.float32)
    y[:, 1:-1] = x
    return y


def product(weight, bias, taps):
    """Those taps of a convolution (out, in, kernel) as a layer that reads a window: (taps * in) -> out."""
    flat = weight[:, :, taps].transpose(0, 2, 1).reshape(len(weight), -1)
    return filled(recurra.Linear(flat.shape[1], len(flat)), flat, bias)


class Detector:
    """The probability that a chunk is speech, by weights of the package, float32 or compressed."""

    def __init__(self, weights=None):
        v = arrays_of(file_of("silero_vad", "data/silero_vad_16k_op15.onnx"))
        v = {name.removeprefix("model."): array for name, array in v.items()}
        part = [[v[f"encoder.{i}.reparam_conv.{name}"] for name in ("weight", "bias")] for i in range(4)]
        lstm = [v[f"decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        self.fourier = filled(recurra.Linear(256, 258, bias=False), v["stft.forward_basis_buffer"][:, 0])
        self.first = product(*part[0], [0, 1, 2])
        self.second = product(*part[1], [0, 1, 2])
        self.rest = recurra.Sequential(
            product(*part[2], [1, 2]),  # two steps, and zeros before and after: at stride 2, one window
            recurra.ReLU(),
            product(*part[3], [1]),  # one step
            recurra.ReLU(),
            filled(recurra.LSTM(128, 128), *lstm),
            recurra.ReLU(),
            product(v["decoder.decoder.2.weight"], v["decoder.decoder.2.bias"], [0]),
            recurra.Sigmoid(),
        )
        if weights is not None:  # all but the Fourier transform, which is exact as it is
            # Of 458 ends of segments the LSTM in int8 moves 8; the products would move 35 in int8, and 1 in float16.
            kinds = {recurra.LSTM: weights, recurra.Linear: "float16" if weights == "int8" else weights}

            def narrow(layer):
                return recurra.compress(layer, kinds[type(layer)]) if type(layer) in kinds else layer

            self.first, self.second = narrow(self.first), narrow(self.second)
            self.rest = recurra.Sequential(*map(narrow, self.rest))
        self.stream = recurra.Stream(self.rest)
        self.reset()

    @property
    def size(self):
        return sum(map(size_of, (self.fourier, self.first, self.second, self.rest)))

    def reset(self):
        """Before another sound."""
        self.stream.reset()
        self.last = np.zeros(CONTEXT, np.float32)

    def __call__(self, sound):
        """Whole chunks, samples (N * 512,) -> probabilities (N,), in which `reset` is the beginning."""
        x = np.concatenate([self.last, sound])
        self.last = x[len(x) - CONTEXT :]
        chunks = windows(x[None, :, None], CONTEXT + CHUNK, CHUNK)[0]
        mirrored = np.concatenate([chunks, chunks[:, -2 : -2 - CONTEXT : -1]], axis=1)
        parts = self.fourier(windows(mirrored[:, :, None], 256, 128))  # (N, 4, cosines and sines)
        y = np.sqrt(np.square(parts[:, :, :129]) + np.square(parts[:, :, 129:]))
        for convolution, stride in ((self.first, 1), (self.second, 2)):
            y = convolution(windows(padded(y), 3, stride))
            np.maximum(y, 0, out=y)
        return self.stream.many(y.reshape(len(y), -1))[:, 0]  # steps are chunks


def segments(p, count):
    """(first, last + 1) samples of speech in a sound of `count`, with the package's thresholds.

    Speech begins at a chunk above 0.5. It ends at one below 0.35 if none above 0.5 comes before another one below 0.35
    at least 100 ms later. Shorter ones than 250 ms don't count, and 30 ms are added before and after.
    """
    found, start, end = [], None, None
    for at, value in zip(range(0, count, CHUNK), p.tolist(), strict=True):
        if value >= 0.5:
            start, end = at if start is None else start, None
        elif value < 0.35 and start is not None:
            end = at if end is None else end
            if at - end >= RATE // 10:
                found.append((start, end))
                start = end = None
    if start is not None:
        found.append((start, count))
    pad = RATE * 30 // 1000
    return [(max(0, a - pad), min(count, b + pad)) for a, b in found if b - a > RATE // 4]


class Own:
    """The package's network by ONNX Runtime: that for a chunk at a time, or that for many."""

    def __init__(self, many):
        self.many = many
        name = "data/silero_vad_16k_sequence.onnx" if many else "data/silero_vad.onnx"
        self.size = Detector().size  # its files have more: another network for 8 kHz
        self.session = session(file_of("silero_vad", name))
        self.reset()

    def reset(self):
        self.state, self.last = np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32)

    def __call__(self, sound):
        chunks = sound.reshape(-1, CHUNK)
        x = np.concatenate([np.concatenate([self.last, chunks[:-1, -CONTEXT:]]), chunks], axis=1)
        self.last = chunks[-1:, -CONTEXT:]
        if self.many:
            p, h, c = self.session.run(None, {"input": x, "h": self.state[:1], "c": self.state[1:]})
            self.state = np.concatenate([h, c])
            return p
        p, self.state = self.session.run(None, {"input": x, "state": self.state, "sr": np.array(RATE)})
        return p[:, 0]


def answers(detector, sound, at_once):
    """The probabilities of a whole sound, that many chunks in a call."""
    detector.reset()
    step = at_once * CHUNK
    return np.concatenate([detector(sound[i : i + step]) for i in range(0, len(sound), step)])


def sound_of(seconds):
    """Minutes of voices and noise at different loudness, filled up to whole chunks."""
    parts = [speech(min(60, seconds - 60 * i), i, NOISES[i % len(NOISES)]) for i in range(-(-seconds // 60))]
    sound = np.concatenate(parts)
    return np.pad(sound, (0, -len(sound) % CHUNK))


def main():
    options = parser(__doc__)
    options.add_argument("--seconds", type=int, default=60, help="of sound like speech")
    options = options.parse_args()
    seconds = options.seconds
    recurra.set_num_threads(1)
    sound = sound_of(seconds)
    chunks = len(sound) // CHUNK

    def outcome(p, own):
        found, theirs = (np.ravel(segments(each, len(sound))) for each in (p, own))
        moved = np.count_nonzero(found != theirs) if len(found) == len(theirs) else "all"
        return f"{len(found) // 2} segments, {moved} of {len(theirs)} ends moved"

    for at_once in (1, chunks):

        def answer(model, at_once=at_once):
            return answers(model, sound, at_once)

        def difference(model, own, answer=answer):
            return np.abs(answer(model) - answer(own)).max()

        models = {"the package's, ONNX Runtime": Own(at_once > 1)}
        models |= versions(Detector)
        title = f"{seconds} s of sound, {at_once} of its {chunks} chunks in a call"
        race(title, models, answer, difference, outcome, options.turns)


if __name__ == "__main__":
    main()
