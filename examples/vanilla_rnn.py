"""The vanilla recurrent cell, written out in NumPy as tutorials do, and the same numbers from recurra.

The cell reads ten steps of four features into eight hidden units; a read-out makes probabilities of each hidden state.
Look at `in_numpy` and `in_recurra` side by side: the same equations, and numbers that agree to the last few bits. Then
come the shapes of networks that are deeper and read both ways, and a table of which of a call's arrays a task uses.
The picture shows the hidden states, a column for each step and a row for each unit, and below them what is read out.
"""

import common
import numpy as np

import recurra

STEPS, INPUT, HIDDEN, CLASSES = 10, 4, 8, 3


def in_numpy(x, W_x, W_h, b, W_y, b_y):
    """h_t = tanh(W_x x_t + W_h h_{t-1} + b),  y_t = softmax(W_y h_t + b_y)."""
    h, hidden, outputs = np.zeros(HIDDEN, np.float32), [], []
    for x_t in x:  # (4,)
        h = np.tanh(W_x @ x_t + W_h @ h + b)  # (8, 4) (4,) + (8, 8) (8,) + (8,) -> (8,)
        scores = np.exp(W_y @ h + b_y)  # (3,)
        hidden.append(h)
        outputs.append(scores / scores.sum())
    return np.stack(hidden), np.stack(outputs)  # (10, 8), (10, 3)


def in_recurra(x, W_x, W_h, b, W_y, b_y):
    """The same: a layer has two biases, as in PyTorch, which only ever act as their sum."""
    rnn, readout = recurra.RNN(INPUT, HIDDEN), recurra.Linear(HIDDEN, CLASSES)
    rnn.load_state_dict({"weight_ih_l0": W_x, "weight_hh_l0": W_h, "bias_ih_l0": b, "bias_hh_l0": np.zeros_like(b)})
    readout.load_state_dict({"weight": W_y, "bias": b_y})
    hidden, last = rnn(x)  # (10, 8), (1, 8): every step's state, and the last one's
    assert np.array_equal(last[0], hidden[-1])
    return hidden, recurra.softmax(readout(hidden))


def show_shapes(rng):
    """What PyTorch prints for the same networks, batch_first: one sequence of ten steps with five features."""
    kinds = {"one layer": {}, "two layers": {"num_layers": 2}}
    kinds["two layers, both ways"] = {"num_layers": 2, "bidirectional": True}
    x = rng.standard_normal((1, 10, 5), np.float32)  # (B, T, input_size)
    print("\nRNN(5, 8) on x (1, 10, 5)              y          h_n")
    for name, options in kinds.items():
        y, h_n = recurra.RNN(5, 8, batch_first=True, seed=rng, **options)(x)
        print(f"{name:35} {y.shape!s:14}{h_n.shape}")


def show_tasks(rng):
    """Which arrays of `y, h_n = rnn(x, h0)` a task uses. T = 10, B = 1."""
    rnn, x = recurra.RNN(5, 8, seed=rng), rng.standard_normal((10, 1, 5), np.float32)
    code = rng.standard_normal((1, 1, 8), np.float32)  # what one-to-many starts from: a label's or a picture's vector
    many, h_n = rnn(x)
    drawn, _ = rnn(np.zeros_like(x), code)
    decoded, _ = recurra.RNN(5, 8, seed=rng)(x, h_n)
    rows = [
        ("one-to-many", "h0", code, "y", drawn, "a caption of a picture; x is zeros, or the last output"),
        ("many-to-one", "x", x, "h_n, or y[-1]", h_n, "the mood of a sentence"),
        ("many-to-many, step by step", "x", x, "y", many, "a label for every word, the next letter"),
        ("many-to-many, encoder-decoder", "x; h_n as h0", x, "second y", decoded, "a translation"),
    ]
    print("\nTask                           goes in                    comes out                   such as")
    for task, source, given, result, taken, example in rows:
        print(f"{task:30} {source:13}{given.shape!s:13} {result:14}{taken.shape!s:13} {example}")


def main():
    options = common.parse(common.parser(__doc__))
    rng = np.random.default_rng(options.seed)
    x = rng.standard_normal((STEPS, INPUT), np.float32)
    shapes = (HIDDEN, INPUT), (HIDDEN, HIDDEN), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)
    weights = [np.float32(0.4) * rng.standard_normal(shape, np.float32) for shape in shapes]

    hidden, outputs = in_numpy(x, *weights)
    ours, our_outputs = in_recurra(x, *weights)
    print("step  h_t (the first four units)                y_t")
    for t in range(STEPS):
        print(f"{t + 1:4d}  {np.array2string(ours[t, :4], precision=4, sign=' '):40}  {our_outputs[t].round(3)}")
    difference = max(np.abs(hidden - ours).max(), np.abs(outputs - our_outputs).max())
    print(f"largest difference from NumPy: {difference:.1e}")
    show_shapes(rng)
    show_tasks(rng)

    picture, axes = common.figure(8, 5, rows=2)
    for axis, values, label, limits in [
        (axes[0], ours, "hidden unit of $h_t$", {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}),
        (axes[1], our_outputs, "class of $y_t$", {"cmap": "Greens", "vmin": 0, "vmax": 1}),
    ]:
        image = axis.imshow(values.T, aspect="auto", **limits)
        axis.set(ylabel=label, xticks=range(STEPS), xticklabels=range(1, STEPS + 1), yticks=range(values.shape[1]))
        picture.colorbar(image, ax=axis)
    axes[0].set_title("What a vanilla RNN has in mind at each step, and what it says")
    axes[1].set_xlabel("step t")
    common.save(picture, "vanilla_rnn")
    common.finish(difference=float(difference))


if __name__ == "__main__":
    main()
