"""A syntax highlighter: a bidirectional LSTM says of every character of Python source which kind of token it is in.

Many to many: a label for each step, from what stands before it and what comes after; the truth is what `tokenize` says.
The network learns from stretches of 200 characters, but then reads whole modules of the standard library that it has
never seen, at once, as a batch of sequences of different lengths. What to look at: the accuracy kind by kind, and the
colours, which are the network's, on a terminal and in the picture (where errors are underlined).
"""

import keyword
import os
import sys
import tokenize
from pathlib import Path

import common
import numpy as np

import recurra

MODULES = """argparse ast bdb calendar codecs configparser contextlib dataclasses difflib dis doctest enum fractions
ftplib functools gettext imaplib inspect ipaddress mailbox optparse os pdb pickle plistlib random statistics"""
UNSEEN = "colorsys cmd code fileinput gzip heapq pkgutil queue runpy shlex tabnanny textwrap timeit trace"
KINDS = "white space", "keyword", "name", "number", "string", "operator", "comment"
COLOURS = "black", "darkviolet", "black", "royalblue", "forestgreen", "orangered", "darkgray"
ANSI = "0", "1;35", "0", "1;34", "32", "31", "36"  # the same for a terminal
TYPES = {"NUMBER": 3, "STRING": 4, "FSTRING_START": 4, "FSTRING_MIDDLE": 4, "FSTRING_END": 4, "OP": 5, "COMMENT": 6}
STRETCH, RATE = 200, 0.01


def load(module):
    """The text of a module; its characters as tokens, 127 for what isn't ASCII, and their kinds, (2, T)."""
    with tokenize.open(Path(os.__file__).with_name(f"{module}.py")) as file:
        lines = file.readlines()
    begin = np.cumsum([0, *map(len, lines)])  # where a line does
    kinds = np.zeros(begin[-1], np.int64)
    for kind, string, (row, column), (end_row, end_column), _ in tokenize.generate_tokens(iter(lines).__next__):
        label = 2 - keyword.iskeyword(string) if kind == tokenize.NAME else TYPES.get(tokenize.tok_name[kind], 0)
        kinds[begin[row - 1] + column : begin[end_row - 1] + end_column] = label
    return "".join(lines), np.array([[min(ord(symbol), 127) for line in lines for symbol in line], kinds])


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--characters", type=int, default=1_000_000, help="how many to read in an epoch")
    parser.add_argument("--epochs", type=int, default=5, help="of training")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)

    known = np.concatenate([load(module)[1] for module in MODULES.split()], axis=1)
    count = known.shape[1] // STRETCH
    x, target = known[:, : count * STRETCH].reshape(2, count, STRETCH).swapaxes(1, 2)  # (STRETCH, count) each

    texts, unseen = zip(*map(load, UNSEEN.split()), strict=True)
    lengths = np.array([len(text) for text in texts])
    tokens, truth = padded = np.zeros((2, lengths.max(), len(lengths)), np.int64)  # (T, B) each
    truth -= 1  # no kind at all, beyond a module's end
    for i, length in enumerate(lengths):
        padded[:, :length, i] = unseen[i]

    model = recurra.Sequential(
        recurra.LSTM(128, 32, num_layers=2, bidirectional=True, seed=rng, tokens=True),  # (T, B) -> (T, B, 64)
        recurra.Linear(64, len(KINDS), seed=rng),  # -> (T, B, kinds)
    )
    adam = recurra.Adam(model, lr=RATE)

    def batches(epoch):
        adam.lr = RATE * (1 - epoch / options.epochs)
        order = rng.permutation(count)[: options.characters // STRETCH]
        return [(x[:, some], target[:, some]) for some in np.array_split(order, len(order) // 16)]

    def report(history):
        accuracy = (model(tokens, lengths=lengths).argmax(-1) == truth).sum() / lengths.sum()
        print(f"epoch {len(history.losses)}: loss {history.losses[-1]:.4f}, accuracy in unseen modules {accuracy:.2%}")

    history = recurra.fit(model, batches, recurra.cross_entropy, adam, epochs=options.epochs, callback=report)
    right = (said := model(tokens, lengths=lengths).argmax(-1)) == truth  # (T, B)
    print(*(f"{kind:>11}: {right[truth == i].mean():7.2%}" for i, kind in enumerate(KINDS)), sep="\n", end="\n\n")

    some = slice(texts[0].index("__all__"), texts[0].index("    if g"))  # lines of colorsys
    shown = list(zip(texts[0][some], said[some, 0], right[some, 0], strict=True))
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    print("".join(symbol if plain else f"\033[{ANSI[kind]}m{symbol}\033[0m" for symbol, kind, _ in shown))

    (picture, axes), row, column = common.figure(9, 7), 0, 0
    for symbol, kind, correct in shown:
        axes.text(column, row, symbol.strip(), color=COLOURS[kind], family="monospace", ha="center")
        if not correct:
            axes.plot([column - 0.5, column + 0.5], [row + 0.25] * 2, color="red")
        row, column = (row + 1, 0) if symbol == "\n" else (row, column + 1)
    for i in range(1, len(KINDS)):
        axes.text(70, i, KINDS[i], color=COLOURS[i], weight="bold")
    axes.set(xlim=(-1, 79), ylim=(row, -1), title="what the network says of colorsys.py, which it has never seen")
    axes.axis("off")
    common.save(picture, "highlight")
    common.finish(accuracy=float(right.sum() / lengths.sum()), seconds=sum(history.seconds))


if __name__ == "__main__":
    main()
