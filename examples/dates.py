"""An encoder and a decoder read dates in eight spellings and write them as 2026-11-21.

One GRU reads the date, character by character, and all that the other one gets is its final state, from which it writes
the ten characters of the answer. In training the decoder reads the true answer, one step late (teacher forcing);
afterwards it reads what it has said itself, step by step. What to look at: the share of dates, of days it has never
seen, that are right in every character; and in the picture how sure it is of each, on the way and at the end.
"""

from datetime import date

import common
import numpy as np

import recurra

SPELLINGS = "{0.day} {0:%B %Y}|{0:%b} {0.day}, {0:%Y}|{0:%d.%m.%Y}|{0:%Y/%m/%d}|{0:%m/%d/%Y}|{0:%B} {0.day}, {0:%Y}"
SPELLINGS = [*SPELLINGS.split("|"), "{0:%A}, {0.day} {0:%B %Y}", "{0:%a %d-%b-%Y}"]
SYMBOLS = "0123456789-"  # of answers
START, HIDDEN, BATCH, RATE = len(SYMBOLS), 128, 32, 5e-3


def tokens(texts):
    """Character codes (T, B), spaces beyond a text's end, and lengths (B,)."""
    lengths = np.array([len(text) for text in texts])
    padded = "".join(text.ljust(lengths.max()) for text in texts).encode()
    return np.frombuffer(padded, np.uint8).reshape(len(texts), -1).T, lengths


def pairs(days, rng):
    """Dates (B,) in spellings drawn by `rng`, and the answers as tokens (10, B)."""
    dates = [date.fromordinal(day) for day in days.tolist()]
    spellings = rng.choice(SPELLINGS, len(dates))
    texts = [spelling.format(day) for spelling, day in zip(spellings, dates, strict=True)]
    return texts, np.array([[SYMBOLS.index(symbol) for symbol in str(day)] for day in dates]).T


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=3000, help=f"of training, {BATCH} dates each")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)

    days = rng.permutation(np.arange(date(1900, 1, 1).toordinal(), date(2100, 1, 1).toordinal()))
    texts, answers = pairs(days[:2000], rng)  # held out
    encoder, reader = (recurra.GRU(n, HIDDEN, seed=rng, tokens=True) for n in (128, 12))  # as if one-hot; 12 with START
    model = recurra.Sequential(recurra.EncoderDecoder(encoder, reader), recurra.Linear(HIDDEN, 11, seed=rng))
    adam = recurra.Adam(model, lr=RATE)

    def learn(x, lengths, answer):
        """One step of training; returns the loss."""
        heard = np.concatenate([np.full_like(answer[:1], START), answer[:-1]])  # (10, B): the answer, one step late
        scores, tape = model.forward((x, heard), lengths=lengths)  # (10, B, symbols)
        loss, dscores = recurra.cross_entropy(scores, answer)
        adam.zero_grad()
        model.backward(tape, dscores, need_dx=False)
        recurra.clip_grad_norm(model, 1.0)
        adam.step()
        return loss

    def write(x, lengths):
        """What the decoder says (10, B), always its likeliest symbol, and how likely that was."""
        scores, state = model.run((x, np.full((1, len(lengths)), START)), lengths=lengths)
        said, sure = [scores.argmax(-1)[0]], [recurra.softmax(scores)[0].max(-1)]
        while len(said) < 10:
            scores, state = model.run(said[-1][None], state)  # one step: (1, B) -> (1, B, symbols)
            said.append(scores.argmax(-1)[0])
            sure.append(recurra.softmax(scores)[0].max(-1))
        return np.array(said), np.array(sure)

    curve, views = [], []
    for step in range(1, options.steps + 1):
        adam.lr = RATE * min(1, 2 - 2 * step / options.steps)
        batch, answer = pairs(rng.choice(days[2000:], BATCH), rng)
        loss = learn(*tokens(batch), answer)
        if step % max(options.steps // 15, 1) == 0:
            said, sure = write(*tokens(texts))
            curve.append(float((said == answers).all(0).mean()))
            views.append((f"after {step * BATCH} dates", said, sure))
            text, written = texts[len(curve)], "".join(SYMBOLS[i] for i in said[:, len(curve)])
            print(f"step {step:4d}: loss {loss:.4f}, {curve[-1]:7.2%} right; {text} -> {written}")

    picture, axes = common.figure(13, 4, columns=3)
    axes[0].plot(np.linspace(0, options.steps * BATCH / 1000, len(curve) + 1)[1:], curve, "o-")
    axes[0].set(xlabel="thousand dates learned from", ylabel="right in every character", ylim=(0, 1.02))
    for axis, (title, said, sure) in zip(axes[1:], (views[len(views) // 3], views[-1]), strict=True):
        axis.imshow(sure[:, :10].T, cmap="Blues", vmin=0, vmax=2, aspect="auto")  # darker where it is surer
        for column, row in np.ndindex(10, 10):
            colour = "black" if said[column, row] == answers[column, row] else "red"
            axis.text(column, row, SYMBOLS[said[column, row]], color=colour, ha="center", va="center")
        axis.set(xticks=[], yticks=range(10), yticklabels=texts[:10], title=title, xlabel="darker: surer, red: wrong")
    common.save(picture, "dates")
    common.finish(exact=curve[-1], loss=loss)


if __name__ == "__main__":
    main()
