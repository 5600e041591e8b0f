"""ddddocr, which reads pictures of letters: an LSTM of 512 goes over what convolutions see, both ways.

The package has two networks of the same layers, one in float32, and one that ONNX Runtime has rounded to int8. Both
are cut where the LSTM begins. ONNX Runtime computes the convolutions; the LSTM, and the product that scores 8,210
characters at every eighth column of the picture, are the half that is compared. (`recurra.from_onnx` reads the whole
network in float32 too; its convolutions are NumPy's, and slower.) What to look at: the texts are the same. Weights in
int8 are rounded by row here, in the package's file by direction, and what they multiply has 12 bits instead of 8.

pip install --no-deps ddddocr; pip install onnx onnxruntime pillow
"""

import runpy
from functools import partial

import numpy as np
from packages import arrays_of, compressed, file_of, filled, parser, piece, race, session, versions

import recurra

FILES = {"float32": "common.onnx", "int8": "common_old.onnx"}
CHARACTERS = {"float32": "CHARSET_BETA", "int8": "CHARSET_OLD"}
SEEN = "227"  # the convolutions' result, (T, 1, 512)
HIDDEN, GATES = 512, [0, 2, 3, 1]  # ONNX has them as input, output, forget, cell


def in_order(matrix):
    """Gates along the first axis, (4 * HIDDEN, …), in recurra's order."""
    return matrix.reshape(4, HIDDEN, -1)[GATES].reshape(matrix.shape)


def stored(kind):
    """The weights of both directions, W (2, 2048, 512), R (2, 2048, 512), B (2, 4096), and of the product."""
    v = arrays_of(file_of("ddddocr", FILES[kind]))
    if kind == "float32":
        return v["498"], v["499"], v["497"], v["135"], v["136"]
    lstm = [v[f"{k}_quantized"].swapaxes(1, 2) * v[f"{k}_scale"][:, None, None] for k in ("359", "360")]
    product = (v["135_quantized"].T - v["135_zero_point"].astype(np.float32)) * v["135_scale"]
    return *lstm, v["358"], product, v["136"]


def reader(kind):
    """LSTM and product of one of the package's files, what was seen (T, 1, 512) -> scores (T, 1, 8210)."""
    *lstm, weight, bias = stored(kind)
    arrays = []
    for w, r, b in zip(*lstm, strict=True):
        arrays += [in_order(part) for part in (w, r, *np.split(b, 2))]
    layer = filled(recurra.LSTM(HIDDEN, HIDDEN, bidirectional=True), *arrays)
    return recurra.Sequential(layer, filled(recurra.Linear(2 * HIDDEN, len(weight)), weight, bias))


class Package:
    """One of the package's networks by ONNX Runtime, in two halves."""

    def __init__(self, kind):
        path = file_of("ddddocr", FILES[kind])
        rest = piece(path, SEEN, "387")
        self.eyes, self.reader = session(piece(path, "input1", SEEN)), session(rest)
        self.characters = runpy.run_path(str(file_of("ddddocr", "charsets.py")))[CHARACTERS[kind]]
        self.size = sum(array.nbytes for array in arrays_of(rest).values())

    def seen(self, picture):
        """A picture (64, width) of numbers from 0 to 1 -> (T, 1, 512)."""
        return self.eyes.run([SEEN], {"input1": picture[None, None]})[0]

    def __call__(self, seen):
        """Scores (T, 1, 8210)."""
        return self.reader.run(None, {SEEN: seen})[0]

    def text(self, scores):
        """The likeliest characters, of those that are the same side by side one."""
        return "".join(self.characters[code] for code in recurra.ctc_decode(scores)[0])


def picture(text, rng):
    """The text in letters that are turned, of different size, under some lines: 64 rows, grey."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (20 + 34 * len(text), 64), 255)
    for place, letter in enumerate(text):
        tile = Image.new("L", (48, 60), 255)
        font = ImageFont.load_default(int(rng.integers(34, 44)))
        ImageDraw.Draw(tile).text((10, 4), letter, int(rng.integers(0, 90)), font)
        tile = tile.rotate(float(rng.uniform(-15, 15)), fillcolor=255)
        page.paste(tile, (5 + 34 * place, int(rng.integers(0, 6))), tile.point(lambda grey: 255 * (grey < 200)))
    draw = ImageDraw.Draw(page)
    for _ in range(3):
        ends = [(int(x), int(y)) for x, y in zip(rng.integers(0, page.width, 2), rng.integers(0, 64, 2), strict=True)]
        draw.line(ends, int(rng.integers(80, 180)), 1)
    return np.asarray(page, np.float32) / 255


def texts(count, rng):
    """Four to six letters and digits each."""
    symbols = list("abcdefghjkmnpqrstuvwxyz23456789")
    return ["".join(rng.choice(symbols, rng.integers(4, 7))) for _ in range(count)]


def all_scores(seen, model):
    """What the model makes of several (T, 1, 512)."""
    return [model(each) for each in seen]


def main():
    options = parser(__doc__)
    options.add_argument("--pictures", type=int, default=20, help="how many")
    options = options.parse_args()
    rng = np.random.default_rng(0)
    written = texts(options.pictures, rng)
    pictures = [picture(text, rng) for text in written]
    recurra.set_num_threads(1)

    for kind in FILES:
        package = Package(kind)
        models = {"the package's, ONNX Runtime": package}
        models |= versions(partial(compressed, reader(kind)))
        answer = partial(all_scores, [package.seen(each) for each in pictures])

        def difference(model, own, answer=answer):
            several = zip(answer(model), answer(own), strict=True)
            return max(np.abs(a - b).max() / np.abs(b).max() for a, b in several)

        def outcome(scores, by_own, package=package):
            read, theirs = ([package.text(each) for each in several] for several in (scores, by_own))
            same, right = (sum(a == b for a, b in zip(read, other, strict=True)) for other in (theirs, written))
            return f"{same} of {len(written)} texts the same, {right} right"

        race(f"the network in {kind}, {len(pictures)} pictures", models, answer, difference, outcome, options.turns)


if __name__ == "__main__":
    main()
