"""What narrow weights cost: 20 random networks beside ONNX Runtime's int8, and the tasks of three trained ones.

`python benchmarks/narrow_accuracy.py` takes some minutes and prints the tables of docs/narrow.md; `--only random` or
`--only trained` a part. The random networks have PyTorch's initial weights and read standard normal numbers, 100 steps
of 4 sequences, once of 32 features and once of as many as there are units; the trained ones are those of the examples
char_lm, digits and highlight. "Weights alone" are float32 layers with the numbers that the int8 weights stand for.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np

import recurra

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
KINDS = ("int8", "bfloat16", "float16")
SIZES, SEEDS = (64, 128, 256, 384, 512), (0, 1)  # of LSTM and GRU each: 20 networks
INPUTS, STEPS, BATCH = 32, 100, 4


def errors(got, expected):
    difference = got.astype(np.float64) - expected
    return np.abs(difference).max(), np.sqrt(np.mean(difference**2))


def by_runtime(layer, x, folder, per_channel):
    """h of ONNX Runtime's quantize_dynamic: DynamicQuantizeLSTM, whose x and h are rounded to 8 bits too."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)
    plain, quantised = folder / "plain.onnx", folder / "quantised.onnx"
    recurra.to_onnx(layer, plain)
    quantize_dynamic(plain, quantised, weight_type=QuantType.QInt8, per_channel=per_channel)
    session = onnxruntime.InferenceSession(quantised, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: x}
    return session.run([session.get_outputs()[0].name], given)[0].reshape(STEPS, BATCH, -1)


def weights_alone(layer):
    """The layer with rounded weights, but products in float32."""
    state = recurra.reference.narrow.widened(recurra.compress(layer).state_dict())
    rounded = type(layer)(layer.input_size, layer.hidden_size)
    rounded.load_state_dict(state)
    return rounded


def of_network(kind, inputs, size, folder):
    """The largest and the root mean square error of each contestant, over the seeds."""
    found = {}
    for seed in SEEDS:
        layer = kind(inputs, size, seed=seed)
        x = np.random.default_rng(100 + seed).standard_normal((STEPS, BATCH, inputs), np.float32)
        h, _ = layer(x)
        others = {weights: recurra.compress(layer, weights)(x)[0] for weights in KINDS}
        others["weights alone"] = weights_alone(layer)(x)[0]
        if kind is recurra.LSTM:
            others["runtime"] = by_runtime(layer, x, folder, False)
            others["runtime by rows"] = by_runtime(layer, x, folder, True)
        for name, got in others.items():
            found.setdefault(name, []).append(errors(got, h))
    return {name: np.max(values, axis=0) for name, values in found.items()}


def random_networks():
    names = (*KINDS, "weights alone", "runtime", "runtime by rows")
    folder = Path(tempfile.mkdtemp())
    for wide in (False, True):
        worst, ratios = dict.fromkeys(KINDS, 0.0), []
        print(f"| network | {' | '.join(names)} | int8 by the better runtime |\n|{'---|' * (len(names) + 2)}")
        for kind in (recurra.LSTM, recurra.GRU):
            for size in SIZES:
                found = of_network(kind, size if wide else INPUTS, size, folder)
                worst = {weights: max(value, found[weights][0]) for weights, value in worst.items()}
                text = [f"{found[name][0]:.4f}, {found[name][1]:.5f}" if name in found else "" for name in names]
                ratio = ""
                if "runtime" in found:
                    ratios.append(found["int8"][0] / min(found["runtime"][0], found["runtime by rows"][0]))
                    ratio = f"{ratios[-1]:.2f}"
                print(f"| {kind.__name__} {size if wide else INPUTS} → {size} | {' | '.join(text)} | {ratio} |")
        print("largest:", ", ".join(f"{weights} {value:.4f}" for weights, value in worst.items()))
        print(f"largest int8 by ONNX Runtime's better: {max(ratios):.2f}\n")


def char_model():
    """The next character of Python source that it hasn't seen: how often it is the likeliest, and perplexity."""
    import char_lm

    files = [Path(char_lm.os.__file__).with_name(f"{name}.py") for name in char_lm.MODULES.split()]
    texts = [file.read_text("utf-8") for file in files]
    known = "".join(text[: len(text) * 19 // 20] for text in texts)[:1_350_000]
    unknown = "".join(text[len(text) * 19 // 20 :] for text in texts)[:67_500]
    alphabet = ["\ufffd", *(symbol for symbol, _ in char_lm.Counter(known).most_common(100))]
    token = {symbol: i for i, symbol in enumerate(alphabet)}
    train, held_out = (np.array([token.get(symbol, 0) for symbol in text]) for text in (known, unknown))
    rng = np.random.default_rng(0)
    model = recurra.Sequential(
        recurra.Embedding(len(alphabet), 64, seed=rng),
        recurra.GRU(64, char_lm.HIDDEN, num_layers=2, dropout=0.05, seed=rng),
        recurra.Linear(char_lm.HIDDEN, len(alphabet), seed=rng),
    )
    adam = recurra.Adam(model, lr=char_lm.RATE)
    stretches = char_lm.windows(train, char_lm.BATCH)
    part = len(stretches) // char_lm.REPORTS

    def batches(i):
        adam.lr = char_lm.RATE * (1 - i / char_lm.REPORTS)
        return stretches[i * part : (i + 1) * part]

    fit = {"epochs": char_lm.REPORTS, "clip_norm": 1.0, "carry_state": True, "rng": rng}
    recurra.fit(model, batches, recurra.cross_entropy, adam, **fit)
    x, target = (np.concatenate(parts) for parts in zip(*char_lm.windows(held_out, 8), strict=True))

    def figures(one):
        logits = one(x)
        loss, _ = recurra.cross_entropy(logits, target)
        return {"next character right": (logits.argmax(-1) == target).mean(), "perplexity": np.exp(loss)}

    return model, figures, x


def digits():
    """Handwritten digits that it hasn't seen."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    rng = np.random.default_rng(0)
    data = load_digits()
    images = (data.images / 16).astype(np.float32)
    x, unseen, labels, truth = train_test_split(images, data.target, stratify=data.target, random_state=0)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    model = recurra.Sequential(
        recurra.LSTM(8, 128, seed=rng), recurra.Last(), recurra.Dropout(0.3), recurra.Linear(128, 10, seed=rng)
    )
    adam = recurra.Adam(model, lr=3e-3)

    def batches(epoch):
        adam.lr = 3e-3 * (1 + np.cos(np.pi * epoch / 100)) / 2
        for rows in np.array_split(rng.permutation(len(x)), 42):
            left = rng.integers(3)
            yield wide[rows, :, left : left + 8].swapaxes(0, 1), labels[rows]

    recurra.fit(model, batches, recurra.cross_entropy, adam, epochs=100, rng=rng)
    seen = unseen.swapaxes(0, 1)
    return model, lambda one: {"digits right": (one(seen).argmax(1) == truth).mean()}, seen


def highlight():
    """The kind of token of each character in modules that it hasn't seen."""
    import highlight as example

    rng = np.random.default_rng(0)
    known = np.concatenate([example.load(module)[1] for module in example.MODULES.split()], axis=1)
    count = known.shape[1] // example.STRETCH
    x, target = known[:, : count * example.STRETCH].reshape(2, count, example.STRETCH).swapaxes(1, 2)
    unseen = [example.load(module)[1] for module in example.UNSEEN.split()]
    lengths = np.array([one.shape[1] for one in unseen])
    tokens, truth = padded = np.zeros((2, lengths.max(), len(lengths)), np.int64)
    truth -= 1
    for i, one in enumerate(unseen):
        padded[:, : lengths[i], i] = one
    model = recurra.Sequential(
        recurra.LSTM(128, 32, num_layers=2, bidirectional=True, seed=rng, tokens=True),
        recurra.Linear(64, len(example.KINDS), seed=rng),
    )
    adam = recurra.Adam(model, lr=example.RATE)

    def batches(epoch):
        adam.lr = example.RATE * (1 - epoch / 5)
        order = rng.permutation(count)[: 1_000_000 // example.STRETCH]
        return [(x[:, some], target[:, some]) for some in np.array_split(order, len(order) // 16)]

    recurra.fit(model, batches, recurra.cross_entropy, adam, epochs=5)

    def figures(one):
        return {"characters right": (one(tokens, lengths=lengths).argmax(-1) == truth).sum() / lengths.sum()}

    return model, figures, tokens[: lengths.min()]


def trained_networks():
    for make in (char_model, digits, highlight):
        model, figures, x = make()
        names = list(figures(model))
        print(f"| {make.__name__} | {' | '.join(names)} | bytes |\n|{'---|' * (len(names) + 2)}")
        for weights in ("float32", *KINDS):
            one = model if weights == "float32" else recurra.compress(model, weights)
            nbytes = sum(value.nbytes for value in one.params.values())
            shown = [f"{100 * value:.2f} %" if value < 1 else f"{value:.4f}" for value in figures(one).values()]
            print(f"| {weights} | {' | '.join(shown)} | {nbytes:,} |")
        print(f"\n{recurra.compare(model, recurra.compress(model), x)}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["random", "trained"])
    only = parser.parse_args().only
    if only != "trained":
        random_networks()
    if only != "random":
        trained_networks()


if __name__ == "__main__":
    main()
