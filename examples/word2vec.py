"""Word vectors: from the company that words keep in Python's own source, by CBOW and by skip-gram (word2vec).

Words are what identifiers consist of, too: `getLastError` is get, last, error. CBOW tells a word from the mean of its
neighbours' vectors, by a softmax over all words; skip-gram tells its neighbours from words drawn at random (negative
sampling). Look at the nearest words of a few, and at words of one kind, which come to stand together in the picture.
"""

import os
import re
from collections import Counter
from pathlib import Path

import common
import numpy as np
from sklearn.decomposition import PCA

import recurra

FOLDERS = (
    ". asyncio collections email html http importlib json logging multiprocessing unittest urllib xml/dom xml/etree"
)
AROUND, VOCABULARY, FEATURES, BATCH, NEGATIVES, RATE = [-3, -2, -1, 1, 2, 3], 2000, 48, 256, 12, 5e-3
KINDS = """one two three four|year month week day hour minute seconds|int float str bytes list tuple dict set bool|open
close read write seek flush readline|if elif else for while try except raise return|socket host port address server
client connection|mean median sum min max|xml html tag element attribute node document"""


def cbow(vectors, readout, word, near, _):
    """Which word (B,) stands between its neighbours, near (B, 6)? Returns the loss, leaves the gradients."""
    v, tape = vectors.forward(near)  # (B, 6, FEATURES)
    scores, readout_tape = readout.forward(v.mean(axis=1))  # (B, VOCABULARY)
    loss, dscores = recurra.cross_entropy(scores, word)
    dmean = readout.backward(readout_tape, dscores)  # (B, FEATURES)
    vectors.backward(tape, np.repeat(dmean[:, None] / near.shape[1], near.shape[1], axis=1))
    return loss


def skip_gram(vectors, contexts, word, near, drawn):
    """Which words are near this one, and which were drawn (B, NEGATIVES)?"""
    v, tape = vectors.forward(word)  # (B, FEATURES)
    c, contexts_tape = contexts.forward(np.concatenate([near, drawn], axis=1))  # (B, 6 + NEGATIVES, FEATURES)
    scores = np.einsum("bf,bnf->bn", v, c)
    truth = np.tile(np.repeat(np.float32([1, 0]), [near.shape[1], drawn.shape[1]]), (len(word), 1))
    loss, dscores = recurra.binary_cross_entropy(scores, truth)
    vectors.backward(tape, np.einsum("bn,bnf->bf", dscores, c))
    contexts.backward(contexts_tape, dscores[:, :, None] * v[:, None])
    return loss


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--model", choices=["cbow", "skip_gram", "both"], default="both", help="what is to be guessed")
    parser.add_argument("--batches", type=int, default=5000, help=f"of {BATCH} words each")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)

    files = sorted(file for name in FOLDERS.split() for file in (Path(os.__file__).parent / name).glob("*.py"))
    text = "\n".join(file.read_text("utf-8") for file in files)
    words = [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text) if len(word) > 1]
    vocabulary = [word for word, _ in Counter(words).most_common(VOCABULARY)]
    token = {word: i for i, word in enumerate(vocabulary)}
    tokens = np.array([token[word] for word in words if word in token])
    share = np.bincount(tokens) / len(tokens)
    tokens = tokens[rng.random(len(tokens)) < (1e-3 / share[tokens]) ** 0.5]  # leaves out many of the frequent words
    print(f"{len(words)} words, {len(set(words))} different ones; learning from {len(tokens)}")
    kind = {token[word]: i for i, words in enumerate(KINDS.split("|")) for word in words.split() if word in token}
    shown, kinds = np.array(list(kind.items())).T
    models, figures = [learn for learn in (cbow, skip_gram) if options.model in (learn.__name__, "both")], {}
    picture, axes = common.figure(6.5 * len(models), 6, columns=len(models))
    for axis, learn in zip(np.atleast_1d(axes), models, strict=True):
        vectors, contexts = (recurra.Embedding(VOCABULARY, FEATURES, seed=rng) for _ in range(2))
        for table in (vectors, contexts):  # begin near 0, so that what they learn outweighs it
            table.load_state_dict({"weight": 0.1 * table.params["weight"]})
        other = recurra.Linear(FEATURES, VOCABULARY, seed=rng) if learn is cbow else contexts
        adam, losses = recurra.Adam([vectors, other]), []
        for i in range(options.batches):
            at = rng.integers(3, len(tokens) - 3, BATCH)
            drawn = rng.choice(tokens, (BATCH, NEGATIVES))
            adam.zero_grad()
            losses.append(learn(vectors, other, tokens[at], tokens[at[:, None] + AROUND], drawn))
            adam.lr = RATE * (1 - i / options.batches)
            adam.step()
        print(f"\n{learn.__name__}: loss {losses[0]:.4f} at first, {np.mean(losses[-100:]):.4f} in the end")
        units = vectors.params["weight"] / np.linalg.norm(vectors.params["weight"], axis=1, keepdims=True)
        for word in ("first", "read", "true", "error", "day", "open", "int", "name"):  # by cosine, without itself
            print(f"{word:>6}: {', '.join(vocabulary[i] for i in np.argsort(-units @ units[token[word]])[1:7])}")
        likeness = units[shown] @ units[shown].T - 2 * np.eye(len(shown))  # of a word to itself: -1
        figures[f"{learn.__name__}_same_kind"] = float((kinds[likeness.argmax(axis=1)] == kinds).mean())
        places = PCA(2).fit_transform(units[shown])
        axis.scatter(*places.T, color=[f"C{i}" for i in kinds], s=8)
        for place, i in zip(places, shown, strict=True):
            axis.text(*place, vocabulary[i], color=f"C{kind[i]}", ha="center", va="bottom", size=9)
        axis.set(title=learn.__name__, xlabel="first principal component", ylabel="second principal component")
    common.save(picture, "word2vec")
    common.finish(words=len(shown), **figures)


if __name__ == "__main__":
    main()
