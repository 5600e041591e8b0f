"""g2p-en, which says how English words sound: a GRU of 128 reads the letters, another one writes phonemes.

The package knows a dictionary, and uses its network for words that aren't in it. Encoder and decoder are each an
embedding and a GRU; what the decoder likes best, after a product, is the phoneme that it reads next. The package's
computation is NumPy, a word at a time. What to look at: the phonemes are the same, also where the weights are int8, and
that words of different length can be read and written together.

pip install --no-deps g2p-en
"""

import re
from functools import partial
from pydoc_data.topics import topics

import numpy as np
from packages import file_of, filled, own_module, parser, race, size_of, versions

import recurra

LETTERS = {letter: code for code, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=3)}
UNKNOWN, END_OF_WORD = 1, 2  # beside the letters; 0 is padding
START, END, MOST = 2, 3, 20  # of phonemes


class Speller:
    """Phonemes of words, by the package's weights, float32 or compressed."""

    def __init__(self, weights=None):
        v = np.load(file_of("g2p_en", "checkpoint20.npz"))

        def reader(side):
            embedding = filled(recurra.Embedding(*v[f"{side}_emb"].shape), v[f"{side}_emb"])
            gru = recurra.GRU(*v[f"{side}_w_ih"].shape[:0:-1], v[f"{side}_w_hh"].shape[1])
            return embedding, filled(gru, *(v[f"{side}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")))

        readout = filled(recurra.Linear(*v["fc_w"].shape[::-1]), v["fc_w"], v["fc_b"])
        self.encoder = recurra.Sequential(*reader("enc"))
        self.decoder = recurra.Sequential(*reader("dec"), readout)
        if weights is not None:
            self.encoder, self.decoder = (recurra.compress(part, weights) for part in (self.encoder, self.decoder))
        self.streams = {}  # over the decoder, by how many words go on side by side
        self.size = size_of(self.encoder) + size_of(self.decoder)

    def heard(self, words):
        """The encoder's last states, in the list that the decoder takes: one array (1, words, 128)."""
        tokens = [[*(LETTERS.get(letter, UNKNOWN) for letter in word), END_OF_WORD] for word in words]
        lengths = np.array([len(each) for each in tokens])
        table = np.zeros((lengths.max(), len(words)), np.int64)  # (T, B)
        for column, each in zip(table.T, tokens, strict=True):
            column[: len(each)] = each
        return self.encoder.run(table, lengths=lengths)[1]

    def scores(self, words):
        """Of all phonemes (steps, words, 74), and which the decoder took (steps, words)."""
        if len(words) not in self.streams:
            self.streams[len(words)] = recurra.Stream(self.decoder, batch=len(words))
        stream = self.streams[len(words)]
        stream.state = self.heard(words)
        said, unfinished = np.full(len(words), START), np.ones(len(words), bool)
        scores, taken = [], []
        while unfinished.any() and len(taken) < MOST:
            scores.append(stream(said))  # one step of all words
            said = scores[-1].argmax(-1)
            unfinished &= said != END
            taken.append(said)
        return np.array(scores), np.array(taken)

    def __call__(self, words):
        """Codes of phonemes, a list for each word, as many as are before its end."""
        taken = self.scores(words)[1].T.tolist()
        return [codes[: codes.index(END)] if END in codes else codes for codes in taken]


def english(count):
    """That many words of Python's own documentation, evenly from a to z."""
    found = sorted(set(re.findall(r"\b[a-z]{4,}\b", " ".join(topics.values()))))
    return found[:: len(found) // count][:count]


class Own:
    """The package's network, without its dictionary and what would be downloaded for that."""

    def __init__(self):
        module = own_module("g2p_en.g2p", "nltk", "nltk.corpus", "nltk.tokenize", "inflect")
        module.construct_homograph_dictionary = dict  # of words in sentences: its file would stay open
        self.module = module.G2p()
        self.size = sum(array.nbytes for array in self.module.variables.values())

    def heard(self, words):
        own = self.module
        weights = own.enc_w_ih, own.enc_w_hh, own.enc_b_ih, own.enc_b_hh
        return [np.stack([own.gru(own.encode(word), len(word) + 1, *weights)[:, -1] for word in words], axis=1)]

    def __call__(self, words):
        return [[self.module.p2idx[name] for name in self.module.predict(word)] for word in words]

    def spelt(self, codes):
        return " ".join(self.module.idx2p[code] for code in codes)


def main():
    options = parser(__doc__)
    options.add_argument("--words", type=int, default=500, help="how many")
    options = options.parse_args()
    words = english(options.words)
    recurra.set_num_threads(1)
    own = Own()
    models = {"the package's, NumPy": own} | versions(Speller)
    for word in words[:3]:
        print(f"{word}: {own.spelt(models['int8']([word])[0])}")

    def difference(model, own):
        return np.abs(model.heard(words)[0] - own.heard(words)[0]).max()

    def outcome(said, by_own):
        return f"{sum(a == b for a, b in zip(said, by_own, strict=True))} of {len(words)} words the same"

    for at_once in (1, len(words)):
        title = f"{len(words)} words, {at_once} in a call"
        race(title, models, partial(by_groups, words=words, count=at_once), difference, outcome, options.turns)


def by_groups(model, words, count):
    """What it says, that many words in a call."""
    return [said for i in range(0, len(words), count) for said in model(words[i : i + count])]


if __name__ == "__main__":
    main()
