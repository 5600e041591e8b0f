"""A character model: two layers of GRU read Python's own source and learn, character by character, how it goes on.

The text is that of some modules of the standard library, or of any `--file`; its last twentieth (of each module) is
held out. The network reads 16 places of the text side by side, 50 characters at a time, and begins each stretch in the
state in which it ended the last: truncated back-propagation through time. What to look at: the perplexity, which is the
number of characters that it hesitates between, from over 90 that there are down to less than 4; and the samples, which
become lines, then words, then indented blocks that could almost be Python.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import common
import numpy as np

import recurra

MODULES = (
    "argparse ast bdb calendar codecs configparser contextlib dataclasses difflib dis doctest enum fractions ftplib "
    "functools gettext imaplib inspect ipaddress mailbox optparse os pdb pickle platform plistlib pprint pstats random"
)
LIBRARY = Path(os.__file__).parent
BATCH, STEPS, HIDDEN, RATE = 16, 50, 160, 6e-3
REPORTS = 12  # in each pass through the text


def windows(tokens, batch):
    """Cuts (N,) tokens into streams side by side, and those into pairs x, target, which is x one step later."""
    length = (len(tokens) - 1) // batch // STEPS * STEPS
    x, target = (tokens[i : i + batch * length].reshape(batch, length).T for i in (0, 1))  # (length, batch)
    return [(x[t : t + STEPS], target[t : t + STEPS]) for t in range(0, length, STEPS)]


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--cell", choices=["GRU", "LSTM"], default="GRU")
    parser.add_argument("--file", type=Path, help="a text to read instead of the standard library")
    parser.add_argument("--characters", type=int, default=1_350_000, help="how many of the text to train on")
    parser.add_argument("--epochs", type=int, default=1, help="passes through the text")
    options = common.parse(parser)

    files = [options.file] if options.file else [LIBRARY / f"{name}.py" for name in MODULES.split()]
    texts = [file.read_text("utf-8") for file in files]
    known = "".join(text[: len(text) * 19 // 20] for text in texts)[: options.characters]
    unknown = "".join(text[len(text) * 19 // 20 :] for text in texts)[:60_000]
    alphabet = "�" + "".join(symbol for symbol, _ in Counter(known).most_common(100))  # � stands for rare ones
    token = {symbol: i for i, symbol in enumerate(alphabet)}
    train, held_out = (np.array([token.get(symbol, 0) for symbol in text]) for text in (known, unknown))

    rng = np.random.default_rng(options.seed)
    model = recurra.Sequential(
        recurra.Embedding(len(alphabet), 64, seed=rng),  # (T, B) tokens -> (T, B, 64)
        getattr(recurra, options.cell)(64, HIDDEN, num_layers=2, dropout=0.05, seed=rng),  # -> (T, B, HIDDEN)
        recurra.Linear(HIDDEN, len(alphabet), seed=rng),  # -> (T, B, symbols), the logits of the next one
    )
    adam = recurra.Adam(model, lr=RATE)
    stretches = windows(train, BATCH)
    part, total = -(-len(stretches) // REPORTS), REPORTS * options.epochs

    def write(prompt, length, temperature=0.6):
        drawn = recurra.generate(
            model, [token[symbol] for symbol in prompt], length, temperature=temperature, seed=options.seed
        )
        return prompt + "".join(alphabet[i] for i in drawn)

    def report(history):
        """After each part: figures, a line of text, and a smaller rate for the next part."""
        adam.lr = RATE * (1 - len(history.losses) / total)
        perplexity = np.exp([history.losses[-1], history.validation[-1]])
        print(f"{len(history.losses):3d}/{total}  {perplexity[0]:6.2f} {perplexity[1]:6.2f}   {write('def ', 60)!r}")

    print(f"{len(train)} characters of {len(alphabet)} kinds; perplexity on them, on held-out text, and a sample:")
    history = recurra.fit(
        model,
        lambda i: stretches[i % REPORTS * part :][:part],
        recurra.cross_entropy,
        adam,
        epochs=total,
        validation=windows(held_out, 8),
        clip_norm=1.0,
        carry_state=True,
        callback=report,
        rng=rng,
    )
    seconds = sum(history.seconds)
    print(f"\n{write('class ', 600)}\n\n{options.epochs * len(train) / seconds:.0f} characters a second")

    picture, axes = common.figure()
    read = np.arange(1, total + 1) * part * BATCH * STEPS / 1e6
    axes.plot(read, np.exp(history.losses), "o-", label="text as it is read, just before learning from it")
    axes.plot(read, np.exp(history.validation), "s-", label="held-out text")
    axes.set(xlabel="million characters read", ylabel="perplexity per character", yscale="log")
    axes.legend()
    common.save(picture, "char_lm")
    common.finish(
        perplexity=float(np.exp(history.validation[-1])), characters_per_second=len(train) / seconds, seconds=seconds
    )


if __name__ == "__main__":
    main()
