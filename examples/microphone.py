"""A keyword by ear, from training to a microcontroller: a GRU hears "u-a-i" among other words, in noise.

Words are made of three vowels, each the harmonics of a voice under two formants, which glide from one vowel to the
next. Every 20 ms of sound become 16 numbers, the logarithms of its energy in bands. At each step the network sees one
such frame, and says how sure it is that the word has just ended:

    h_t = GRU(bands_t, h_{t-1})          p_t = σ(w h_t + b)

What to look at: what each way of running it costs. In the end it is a C header of weights of 8 bits, without Python,
whose answers are the stream's.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from common import finish, parse, parser, timed

import recurra

RATE, FRAME, FRAMES = 8000, 160, 64  # samples a second and a frame, frames of a clip: 1.28 s
EDGES = np.unique(np.geomspace(3, 65, 16).round().astype(int))  # of bands, in steps of 50 Hz
FORMANTS = {"a": (750, 1250), "i": (300, 2300), "u": (320, 800)}
WORDS = ["uai", "uia", "aui", "aiu", "iau", "iua", "ua", "ai", "iu", "a", ""]  # the first is the one to hear
HARMONICS = np.arange(1, 28)
MAIN = """
#include <stdio.h>
#include <time.h>
#include "ear.h"
int main(void) /* answers each frame that it reads; in the end, the microseconds of a step */
{
  static ear_state state, again;
  float x[EAR_INPUT_SIZE], y[EAR_OUTPUT_SIZE];
  double spent = 0.0, steps = 0.0;
  int i;
  ear_reset(&state);
  while (fread(x, sizeof x, 1, stdin)) {
    clock_t start = clock();
    for (i = 0; i < 50; ++i) {
      again = state;
      ear_step(&again, x, y);
    }
    spent += (double)(clock() - start) / CLOCKS_PER_SEC;
    steps += 50.0;
    state = again;
    fwrite(y, sizeof y, 1, stdout);
  }
  fprintf(stderr, "%.3f", 1e6 * spent / steps);
  return 0;
}
"""


def clip(rng, word):
    """Sound (FRAMES * FRAME,), and the frame in which the word ends."""
    sound = rng.normal(0, rng.uniform(0.1, 1.0), FRAMES * FRAME)
    length = rng.integers(1000, 1600) * len(word)
    start = rng.integers(0, len(sound) - length - 12 * FRAME)
    if word:
        at = np.linspace(0, len(word) - 1, length)
        pitch = np.interp(at, [0, len(word)], rng.uniform(90, 240, 2))[:, None]
        loud = 0
        for k in (0, 1):
            formant = np.interp(at, range(len(word)), [FORMANTS[vowel][k] for vowel in word])[:, None]
            loud += np.exp(-(((HARMONICS * pitch - formant) / 120) ** 2))
        voice = (loud * np.sin(2 * np.pi * np.cumsum(pitch / RATE, axis=0) * HARMONICS)).sum(axis=1)
        sound[start : start + length] += voice * np.hanning(length) ** 0.3
    return sound, (start + length) // FRAME


def clips(rng, count):
    """x (FRAMES, count, bands), and targets (FRAMES, count, 1): 1 in 12 frames after the word."""
    x, target = np.empty((FRAMES, count, len(EDGES)), np.float32), np.zeros((FRAMES, count, 1), np.float32)
    for b in range(count):
        word = WORDS[0] if b % 3 == 0 else rng.choice(WORDS[1:])
        sound, end = clip(rng, word)
        power = np.abs(np.fft.rfft(sound.reshape(FRAMES, FRAME) * np.hanning(FRAME))) ** 2
        x[:, b] = np.log(np.add.reduceat(power, EDGES, axis=1) + 0.01) / 4
        target[end : end + 12, b] = word == WORDS[0]
    return x, target


def accuracy(model, x, target):
    """In how many clips the model is sure at least once where the word is, and never where it isn't."""
    return float(((model(x) > 0.5).any(axis=0) == target.any(axis=0)).mean())


def microseconds(stream, frames):
    """Of a step from Python, the median; and the answers."""
    y, spent = np.empty((len(frames), 1), np.float32), []
    for frame, out in zip(frames, y, strict=True):
        spent.append(timed(stream, frame, out)[0])
    return 1e6 * float(np.median(spent)), y


def in_c(narrow, frames, folder):
    """Exports, compiles and runs: the figures of the header, and the answers where there is a compiler."""
    recurra.export_c(narrow, folder / "ear.h", name="ear")
    header = (folder / "ear.h").read_text()
    constants, state = map(int, re.search(r"(\d+) bytes of constants, (\d+) of state", header).groups())
    print(f"C header: {len(header) / 1e3:.1f} kB of text, {constants} bytes of constants, {state} of state and scratch")
    (folder / "main.c").write_text(MAIN)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]
    arm = ["-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
    y, spent = None, float("nan")
    if compiler := shutil.which("gcc") or shutil.which("clang"):
        native = ["-mfma"] * recurra.build_info()["isa"].startswith("avx")
        seconds, _ = timed(subprocess.run, [compiler, *strict, *native, "main.c", "-o", "ear"], cwd=folder, check=True)
        done = subprocess.run([folder / "ear"], input=frames.tobytes(), capture_output=True, check=True)
        y, spent = np.frombuffer(done.stdout, np.float32).reshape(-1, 1), float(done.stderr)
        size = (folder / "ear").stat().st_size
        print(f"compiled in {seconds:.2f} s: a program of {size / 1e3:.1f} kB, {spent:.2f} µs a step")
    if shutil.which("arm-none-eabi-gcc"):
        subprocess.run(["arm-none-eabi-gcc", *strict, *arm, "-c", "main.c"], cwd=folder, check=True)
        sizes = subprocess.run(["arm-none-eabi-size", "main.o"], cwd=folder, capture_output=True, text=True, check=True)
        print("for a Cortex-M4: text {}, data {}, bss {} bytes".format(*sizes.stdout.splitlines()[1].split()))
    return {"header_bytes": len(header), "c_us": spent}, y


def main():
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=40, help="passes through the clips")
    options.add_argument("--clips", type=int, default=600, help="how many to learn from")
    options = parse(options)
    rng = np.random.default_rng(options.seed)
    (x, target), unseen = clips(rng, options.clips), clips(rng, options.clips // 2)

    gru, readout = recurra.GRU(len(EDGES), 32, seed=rng), recurra.Linear(32, 1, seed=rng)
    model = recurra.Sequential(gru, readout)
    adam = recurra.Adam(model, lr=5e-3)

    def batches(epoch):
        adam.lr = 5e-3 * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
        return [(x[:, rows], target[:, rows]) for rows in np.array_split(rng.permutation(len(x[0])), 20)]

    seconds, history = timed(recurra.fit, model, batches, recurra.binary_cross_entropy, adam, epochs=options.epochs)
    ear = recurra.Sequential(gru, readout, recurra.Sigmoid())
    narrow = recurra.compress(ear, "int8")
    right, narrow_right = accuracy(ear, *unseen), accuracy(narrow, *unseen)
    print(f"trained in {seconds:.1f} s, loss {history.losses[-1]:.4f}; of clips that it never heard right:")
    print(f"  float32 {right:.1%}, {sum(p.nbytes for p in ear.params.values())} bytes of weights")
    print(f"  int8    {narrow_right:.1%}, {sum(p.nbytes for p in narrow.state_dict().values())}")

    frames = np.ascontiguousarray(unseen[0].swapaxes(0, 1)[:20]).reshape(-1, len(EDGES))  # 20 clips, one after another
    wide_us, _ = microseconds(recurra.Stream(ear), frames)
    narrow_us, y = microseconds(recurra.Stream(narrow), frames)
    print(f"a step of a stream from Python: float32 {wide_us:.2f} µs, int8 {narrow_us:.2f} µs")
    with tempfile.TemporaryDirectory() as folder:
        figures, in_header = in_c(narrow, frames, Path(folder))
    if in_header is not None:
        figures["apart"] = float(np.abs(y - in_header).max())
        print(f"largest difference between the header's answers and the stream's: {figures['apart']:.1g}")
    finish(accuracy=right, int8_accuracy=narrow_right, stream_us=wide_us, int8_stream_us=narrow_us, **figures)


if __name__ == "__main__":
    main()
