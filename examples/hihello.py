"""Teaches an RNN to say " My name is Ji Myung Hwa." in twenty epochs, always the next character.

The network hears the sentence without its last character and learns to say it without its first. A character is a
token, which the layer reads as a one-hot vector; a fully connected read-out scores every character, and the loss is the
weighted mean of the steps' cross-entropies. Look at the string that is decoded after each epoch, at each step the
likeliest character: the picture has it in a row, green where it is right. In the end the network, told the first
character alone, goes on from its own answers.
"""

import common
import numpy as np

import recurra

SENTENCE = " My name is Ji Myung Hwa."
ALPHABET = sorted(set(SENTENCE))  # 15 characters


def train(rng, epochs):
    """Each epoch's loss, before its step, and the string decoded after it."""
    tokens = np.array([ALPHABET.index(character) for character in SENTENCE])
    x, target = tokens[:-1], tokens[1:]  # (T,) each: one sequence needs no axis for a batch
    weights = np.ones(len(target))  # how much each step counts: were some of them padding, theirs would be 0
    model = recurra.Sequential(
        recurra.RNN(len(ALPHABET), len(ALPHABET), seed=rng),  # (T,) tokens -> (T, hidden), as many as characters here
        recurra.Linear(len(ALPHABET), len(ALPHABET), seed=rng),  # -> (T, characters): logits
    )
    adam = recurra.Adam(model, lr=0.1)
    losses, strings = [], []
    print(f"{model}\nepoch    loss   decoded")
    for epoch in range(1, epochs + 1):
        logits, tape = model.forward(x)
        loss, dlogits = recurra.cross_entropy(logits, target, position_weights=weights)
        adam.zero_grad()
        model.backward(tape, dlogits)
        adam.step()
        losses.append(loss)
        strings.append("".join(ALPHABET[token] for token in model(x).argmax(-1)))
        print(f"{epoch:5d}  {loss:.4f}   {strings[-1]!r}")
    recited = recurra.generate(model, tokens[:1], len(target), temperature=0)
    print(f"by heart: {''.join(ALPHABET[token] for token in recited)!r}")
    return losses, strings


def draw(losses, strings):
    picture, (left, right) = common.figure(11, 0.7 + 0.25 * len(losses), columns=2)
    left.get_gridspec().set_width_ratios([3, 1])
    right_ones = np.array([[a == b for a, b in zip(said, SENTENCE[1:], strict=True)] for said in strings])
    extent = (0.5, len(SENTENCE) - 0.5, len(strings) + 0.5, 0.5)
    left.imshow(right_ones, cmap="RdYlGn", vmin=-0.6, vmax=1.6, alpha=0.5, aspect="auto", extent=extent)
    for epoch, said in enumerate(strings, start=1):
        for step, character in enumerate(said, start=1):
            left.text(step, epoch, character.replace(" ", "␣"), ha="center", va="center", family="monospace")
    left.set(title="What the network says, step by step", xlabel="the sentence", ylabel="epoch")
    left.set_xticks(range(1, len(SENTENCE)), SENTENCE[1:], family="monospace")
    right.plot(losses, range(1, len(losses) + 1), marker="o")
    right.set(title="Weighted sequence loss", xlabel="cross-entropy", ylim=left.get_ylim(), xlim=(0, None))
    right.grid(alpha=0.3)
    for axis in (left, right):
        axis.set_yticks(range(1, len(losses) + 1))
    common.save(picture, "hihello")


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="times that it reads the sentence")
    options = common.parse(parser)
    losses, strings = train(np.random.default_rng(options.seed), options.epochs)
    draw(losses, strings)
    right = sum(a == b for a, b in zip(strings[-1], SENTENCE[1:], strict=True))
    common.finish(loss_1=losses[0], loss=losses[-1], right=right, exact=int(right == len(SENTENCE) - 1))


if __name__ == "__main__":
    main()
