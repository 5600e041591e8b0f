"""Teaches a recurrent network one sentence, letter by letter, with nothing but recurra and NumPy.

The network reads it one symbol a step and learns to say the next. Then it recites it, from the symbol that marks the
start, fed with its own answers. An RNN, an LSTM and a GRU do so, beside the same training in NumPy (hello_numpy), plain
and made to be fast; rounding differs, and training magnifies it.
"""

from __future__ import annotations

import hello_numpy
import numpy as np
from common import finish, parse, parser, restart_with, timed

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
    """Adam on full backpropagation through time; the loss of every epoch, a sum over steps of means over outputs."""
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
        symbol = ALPHABET[readout(h).argmax()]
        if symbol == END:
            break
        said += symbol
    return said


def lesson(cell, seed, epochs):
    """Trains and questions one network; returns its figures."""
    rng, symbols = np.random.default_rng(seed), len(ALPHABET)
    rnn, readout = KINDS[cell](symbols, symbols, seed=rng), recurra.Linear(symbols, symbols, seed=rng)
    initial = rnn.state_dict() | readout.state_dict()
    text, target = START + SENTENCE, one_hot(SENTENCE + END)

    print(f"{cell.upper()}, {epochs} epochs\n epoch  recurra's loss  plain NumPy's", flush=True)
    seconds, losses = timed(train, rnn, readout, tokens(text), target, epochs)
    plain_seconds, numpy_losses = timed(hello_numpy.train, cell, initial, one_hot(text), target, epochs)
    fast_seconds, _ = timed(hello_numpy.train, cell, initial, one_hot(text), target, epochs, fast=True)

    for epoch in range(0, epochs, 100):
        print(f"{epoch:6d}  {losses[epoch]:14.2e}  {numpy_losses[epoch]:13.2e}")
    said = recite(rnn, readout)
    print(f"It says {said!r}.")
    print(f"recurra: {seconds:.2f} s. Plain NumPy: {plain_seconds:.2f} s, {plain_seconds / seconds:.1f} times as long.")
    print(f"NumPy made to be fast: {fast_seconds:.2f} s, {fast_seconds / seconds:.1f} times as long.\n")
    figures = {"loss_0": losses[0], f"loss_{epoch}": losses[epoch], f"numpy_loss_{epoch}": numpy_losses[epoch]}
    seconds = {"seconds": seconds, "numpy_seconds": plain_seconds, "fast_numpy_seconds": fast_seconds}
    return figures | {"recited": int(said == SENTENCE)} | seconds


def main():
    options = parser(__doc__)
    options.add_argument("--cell", choices=KINDS, help="only this one, not all of them")
    options.add_argument("--epochs", type=int, default=1000, help="times that it reads the sentence")
    values = parse(options)
    if values.epochs < 1:
        options.error("--epochs starts at 1")
    restart_with(values.threads)
    figures = {}
    for cell in [values.cell] if values.cell else KINDS:
        figures |= {f"{cell}_{name}": value for name, value in lesson(cell, values.seed, values.epochs).items()}
    finish(**figures)


if __name__ == "__main__":
    main()
