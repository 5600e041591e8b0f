"""The dates of dates.py, read by an encoder that a decoder can look back at: with attention it needs a sixth of them.

The encoder reads both ways and keeps what it made of every character. At each step the decoder weighs all of these by
how well they go with its own state, and what it writes next comes from that state and the weighted mean (Luong, Pham &
Manning 2015, with the additive scores of Bahdanau, Cho & Bengio 2015). Nobody tells it where to look. What to look at:
where it does, in the picture: a row for each character it writes, darker where more of its weight lies.
"""

from datetime import date

import common
import numpy as np
from dates import START, SYMBOLS, pairs, tokens

import recurra

HIDDEN, BATCH, RATE = 64, 32, 5e-3


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=600, help=f"of training, {BATCH} dates each")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)

    days = rng.permutation(np.arange(date(1900, 1, 1).toordinal(), date(2100, 1, 1).toordinal()))
    texts, answers = pairs(days[:500], rng)  # held out
    encoder = recurra.GRU(128, HIDDEN // 2, bidirectional=True, seed=rng, tokens=True)  # as if characters were one-hot
    decoder = recurra.GRU(12, HIDDEN, seed=rng, tokens=True)  # begins where the encoder ended, both ways side by side
    model = recurra.Sequential(
        recurra.EncoderDecoder(encoder, decoder, recurra.Attention(HIDDEN, HIDDEN, seed=rng)),
        recurra.Linear(2 * HIDDEN, HIDDEN, seed=rng),  # of the decoder's state and what it saw
        recurra.Tanh(),
        recurra.Linear(HIDDEN, len(SYMBOLS), seed=rng),
    )
    adam = recurra.Adam(model, lr=RATE)

    def batches():
        """Half of the training: (source, what the decoder hears), the answer, and the sources' lengths."""
        for _ in range(options.steps // 30):
            batch, answer = pairs(rng.choice(days[500:], BATCH), rng)
            source, lengths = tokens(batch)
            heard = np.concatenate([np.full_like(answer[:1], START), answer[:-1]])  # the answer, one step late
            yield (source, heard), answer, lengths

    def write(texts):
        """What the decoder says (10, B), always its likeliest symbol, and where it looked (10, B, T)."""
        source, lengths = tokens(texts)
        scores, state = model.run((source, np.full((1, len(texts)), START)), lengths=lengths)
        said, looked = [scores.argmax(-1)], [state[0].weights]
        while len(said) < 10:
            scores, state = model.run(said[-1], state)  # one step: (1, B) -> (1, B, symbols)
            said.append(scores.argmax(-1))
            looked.append(state[0].weights)
        return np.concatenate(said), np.concatenate(looked)

    curve = []
    for part in range(30):
        adam.lr = RATE * min(1, 2 - part / 15)
        history = recurra.fit(model, lambda _: batches(), recurra.cross_entropy, adam, clip_norm=1.0)
        said, _ = write(texts)
        curve.append(float((said == answers).all(0).mean()))
        if part % 2:
            written = "".join(SYMBOLS[symbol] for symbol in said[:, part])
            print(f"loss {history.losses[0]:.4f}, {curve[-1]:7.2%} right; {texts[part]} -> {written}")

    shown = [f"{date(2026, 11, 21):{spelling}}" for spelling in ("%A, %d %B %Y", "%m/%d/%Y", "%d.%m.%Y")]
    shown[0] = shown[0].replace(" 0", " ")
    said, looked = write(shown)
    picture, axes = common.figure(13, 3.6, columns=4)
    axes[0].plot(np.arange(1, 31) * options.steps // 30 * BATCH / 1000, curve, "o-")
    axes[0].set(xlabel="thousand dates learned from", ylabel="right in every character", ylim=(0, 1.02))
    for i, text in enumerate(shown):
        axes[i + 1].imshow(looked[:, i, : len(text)], cmap="Blues", vmin=0, aspect="auto")
        axes[i + 1].set(xticks=range(len(text)), xticklabels=text, title=text)
        axes[i + 1].set(yticks=range(10), yticklabels=[SYMBOLS[symbol] for symbol in said[:, i]])
    common.save(picture, "attention")
    common.finish(exact=curve[-1], loss=history.losses[0])


if __name__ == "__main__":
    main()
