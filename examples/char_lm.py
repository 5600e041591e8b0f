"""A character model: two layers of GRU read Python's own source and learn, character by character, how it goes on.

The text is that of some modules of the standard library, or of any --file; the last twentieth (of each) is held out.
The network reads 16 places of the text side by side, 50 characters at a time, and begins each stretch in the state in
which it ended the last one: truncated back-propagation through time. What to look at: perplexity, the number of
characters it hesitates between, which falls from the 100 that there are to less than 4; and the samples of what it
would write, which become words, then lines, then blocks that could almost be Python.
"""

import os
from collections import Counter
from pathlib import Path

import common
import numpy as np

import recurra

MODULES = """argparse ast bdb calendar codecs configparser contextlib dataclasses difflib dis doctest enum fractions
ftplib functools gettext imaplib inspect ipaddress mailbox optparse os pdb pickle platform plistlib pprint pstats"""
BATCH, STEPS, HIDDEN, RATE, REPORTS = 16, 50, 160, 6e-3, 12  # reports in each pass through the text


def windows(tokens, batch):
    """Cuts (N,) tokens into streams side by side, and those into pairs x, target, which is x one step later."""
    length = (len(tokens) - 1) // batch // STEPS * STEPS
    x, target = (tokens[i : i + batch * length].reshape(batch, length).T for i in (0, 1))  # (length, batch)
    return [(x[t : t + STEPS], target[t : t + STEPS]) for t in range(0, length, STEPS)]


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--cell", choices=["GRU", "LSTM"], default="GRU", help="of both layers")
    parser.add_argument("--file", type=Path, help="a text to read instead of the standard library")
    parser.add_argument("--characters", type=int, default=1_350_000, help="how many of the text to train on")
    parser.add_argument("--prompt", default="    def ", help="how the samples begin")
    parser.add_argument("--epochs", type=int, default=1, help="passes through the text")
    options = common.parse(parser)

    files = [options.file] if options.file else [Path(os.__file__).with_name(f"{name}.py") for name in MODULES.split()]
    texts = [file.read_text("utf-8") for file in files]
    known = "".join(text[: len(text) * 19 // 20] for text in texts)[: options.characters]
    unknown = "".join(text[len(text) * 19 // 20 :] for text in texts)[: options.characters // 20]
    alphabet = ["\ufffd", *(symbol for symbol, _ in Counter(known).most_common(100))]  # the first is any rare one
    token = {symbol: i for i, symbol in enumerate(alphabet)}
    train, held_out = (np.array([token.get(symbol, 0) for symbol in text]) for text in (known, unknown))

    rng = np.random.default_rng(options.seed)
    model = recurra.Sequential(
        recurra.Embedding(len(alphabet), 64, seed=rng),  # (T, B) tokens -> (T, B, 64)
        getattr(recurra, options.cell)(64, HIDDEN, num_layers=2, dropout=0.05, seed=rng),  # -> (T, B, HIDDEN)
        recurra.Linear(HIDDEN, len(alphabet), seed=rng),  # -> (T, B, symbols), the logits of the next one
    )
    adam = recurra.Adam(model, lr=RATE)
    stretches, held_out = windows(train, BATCH), windows(held_out, 8)
    part, total = len(stretches) // REPORTS, REPORTS * options.epochs

    def write(prompt, length, stop=None):
        tokens = [token.get(symbol, 0) for symbol in prompt]
        said = recurra.generate(model, tokens, length, temperature=0.7, seed=options.seed, stop=stop)
        return prompt + "".join(alphabet[i] for i in said)

    def report(history):
        """After each part: figures, a line of text, and a smaller rate for the next part."""
        done, seen, unseen = len(history.losses), *np.exp([history.losses[-1], history.validation[-1]])
        adam.lr = RATE * (1 - done / total)
        line = write(options.prompt, 70, stop=token.get("\n")).strip()
        print(f"{done:3d}/{total} {seen:6.2f} {unseen:6.2f}  {line}")

    print(f"{len(train)} characters of {len(alphabet)} kinds; perplexity on them, on held-out text, and a sample:")
    parts = [stretches[i * part : (i + 1) * part] for i in range(REPORTS)] * options.epochs
    history = recurra.fit(
        model,
        lambda i: parts[i],
        recurra.cross_entropy,
        adam,
        epochs=total,
        validation=held_out,
        clip_norm=1.0,
        carry_state=True,
        callback=report,
        rng=rng,
    )
    seconds, perplexity = sum(history.seconds), np.exp(history.validation)
    read = np.arange(1, total + 1) * part * BATCH * STEPS  # characters until each report
    speed = round(read[-1] / seconds)
    print(f"\n{write(options.prompt, 600)}\n\n{speed} characters a second, validation included")

    picture, axes = common.figure()
    axes.plot(read / 1e6, np.exp(history.losses), "o-", label="training text, before learning from it")
    axes.plot(read / 1e6, perplexity, "s-", label="held-out text")
    axes.set(xlabel="million characters read", ylabel="perplexity per character", xlim=0)
    axes.legend()
    common.save(picture, "char_lm")
    common.finish(perplexity=float(perplexity[-1]), characters_per_second=speed, seconds=seconds)


if __name__ == "__main__":
    main()
