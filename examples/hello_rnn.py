"""Teaches a recurrent network one sentence, letter by letter, with nothing but recurra and NumPy.

The network reads the sentence one symbol a step and learns to say the next one. Asked afterwards to go on from the
symbol that marks the start, and fed with its own answers, it recites the sentence up to the symbol that marks the end.
`python examples/hello_rnn.py` does so with an RNN, an LSTM and a GRU, each beside the same training in plain NumPy
(hello_numpy.py), which starts from the same weights.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import hello_numpy
import numpy as np

import recurra

ALPHABET = "abcdefghijklmnopqrstuvwxyz ?!.,:;01"
START, END = "0", "1"
SENTENCE = "hello pytorch. how long can a rnn cell remember?"
KINDS = {"rnn": recurra.RNN, "lstm": recurra.LSTM, "gru": recurra.GRU}


def tokens(text):
    """(len(text),): each symbol's place in the alphabet, which recurra's layers take for its one-hot row."""
    return np.array([ALPHABET.index(symbol) for symbol in text])


def one_hot(text):
    """(len(text), 35): those rows."""
    return np.eye(len(ALPHABET), dtype=np.float32)[tokens(text)]


def train(rnn, readout, x, target, epochs):
    """Adam on full backpropagation through time; returns the loss of every epoch.

    x is tokens (T,), target one-hot rows (T, 35). The loss sums over steps, each step's error a mean over the outputs;
    `mse` is the mean over both.
    """
    adam = recurra.Adam([rnn, readout], lr=0.01)
    losses = []
    for _ in range(epochs):
        h, _, tape = rnn.forward(x)
        y, readout_tape = readout.forward(h)
        loss, dy = recurra.mse(y, target)
        losses.append(len(x) * loss)
        adam.zero_grad()
        dh = readout.backward(readout_tape, len(x) * dy)
        rnn.backward(tape, dh, need_dx=False)
        adam.step()
    return losses


def recite(rnn, readout):
    """What the network says when it hears itself; cut off at twice the sentence's length."""
    said, symbol, state = "", START, None
    while len(said) < 2 * len(SENTENCE):
        h, state = rnn(tokens(symbol), state)
        symbol = ALPHABET[int(readout(h).argmax())]
        if symbol == END:
            break
        said += symbol
    return said


def lesson(cell, seed, epochs):
    """Trains and questions one network; returns its figures."""
    rng, symbols = np.random.default_rng(seed), len(ALPHABET)
    rnn = KINDS[cell](symbols, symbols, seed=rng)
    readout = recurra.Linear(symbols, symbols, seed=rng)
    initial = rnn.state_dict() | readout.state_dict()
    text, target = START + SENTENCE, one_hot(SENTENCE + END)

    start = time.perf_counter()
    losses = train(rnn, readout, tokens(text), target, epochs)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    numpy_losses = hello_numpy.train(cell, initial, one_hot(text), target, epochs)
    numpy_seconds = time.perf_counter() - start

    print(f"{cell.upper()}\n epoch    loss   NumPy's")
    for epoch in range(0, epochs, 100):
        print(f"{epoch:6d}  {losses[epoch]:.4f}  {numpy_losses[epoch]:.4f}")
    said = recite(rnn, readout)
    print(f"It says {said!r}.")
    print(f"{seconds:.2f} s, {numpy_seconds:.2f} s in NumPy: {numpy_seconds / seconds:.1f} times as fast\n")
    return {
        "loss_0": f"{losses[0]:.4f}",
        f"loss_{epoch}": f"{losses[epoch]:.6f}",
        f"numpy_loss_{epoch}": f"{numpy_losses[epoch]:.6f}",
        "recited": int(said == SENTENCE),
        "seconds": f"{seconds:.3f}",
        "numpy_seconds": f"{numpy_seconds:.3f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=KINDS, help="only this one")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if min(options.epochs, options.threads) < 1 or options.seed < 0:
        parser.error("--epochs and --threads start at 1, --seed at 0")
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    if (
        not limits.items() <= os.environ.items()
    ):  # NumPy's BLAS reads them when it is loaded, so: once more from the start
        os.execve(sys.executable, sys.orig_argv, os.environ | limits)
    cells = [options.cell] if options.cell else list(KINDS)
    figures = {cell: lesson(cell, options.seed, options.epochs) for cell in cells}
    print(*(f"{cell}_{name}={value}" for cell, pairs in figures.items() for name, value in pairs.items()))


if __name__ == "__main__":
    main()
