"""Random formulas, as the source text of a function and its declarations."""

import re
from dataclasses import dataclass

import numpy as np

from recurra import formula

SMOOTH = [
    "tanh({0})", "sigmoid({0})", "{0} * {1}", "{0} + {1}", "{0} - {1}", "{0} * {1} + {2} * {0}",
    "{0} * {1} - {2} * {3}", "{0} - {1} * {2}", "1 - {0}", "-{0}", "0.3 * {0}", "{0} / (1.5 + square({1}))",
    "sqrt(square({0}) + 0.5)", "exp(tanh({0}))", "expm1(0.3 * {0})", "log(square({0}) + 0.7)", "log1p(square({0}))",
    "softplus({0})", "log_sigmoid({0})", "silu({0})", "gelu({0})", 'gelu({0}, approximate="tanh")', "sin({0})",
    "cos({0})", "erf({0})", "{0} ** 2", "(1.5 + sigmoid({0})) ** -2", "(0.5 + sigmoid({0})) ** 0.5", "{0} + 0.5",
    "2.0 / (1.5 + sigmoid({0}))", "elu({0})",
]  # fmt: skip
KINKED = [
    "relu({0})", "leaky_relu({0}, 0.1)", "elu({0}, 0.5)", "abs({0})", "minimum({0}, {1})", "maximum({0}, {1})",
    "maximum({0}, 0.1)", "clip({0}, -0.5, 1)", "clip({0}, None, 0.7)", "hard_sigmoid({0})", "hard_tanh({0})",
    "where({0} > {1}, {2}, {0})", "where(({0} <= 0.2) & ({1} < {2}), {1}, 0.3)", "({0} >= {1}) * {2}",
    "where(~({0} > 0) | not_equal({1}, {2}), {2}, -{0})", "where(equal({0}, {1}), {1}, {2})",
    "given_slope({0} > 0.1, sigmoid(3 * {0}))", "given_slope({0}, {1} * {2})", "where({0} > 0, 1.0, 0.1) * {1}",
]  # fmt: skip


@dataclass
class RandomFormula:
    """Source and declarations."""

    source: str
    declarations: dict

    def make(self):
        names = {name: getattr(formula, name) for name in formula.__all__}
        exec(self.source, names)
        return formula.Formula(names["step"], **self.declarations)

    def shuffled(self, rng):
        """The same with its lines in another order, each after those that it reads."""
        head, *lines, result = self.source.splitlines()
        written, order = set(), []
        while lines:
            ready = [line for line in lines if set(re.findall(r"\bv\d+", line.split(" = ", 1)[1])) <= written]
            line = str(rng.choice(ready))
            lines.remove(line)
            order.append(line)
            written.add(line.split(maxsplit=1)[0])
        return RandomFormula("\n".join([head, *order, result, ""]), self.declarations)

    def __str__(self):
        return f"{self.declarations}\n{self.source}"


class _Writer:
    """Writes lines, and remembers what each value depends on."""

    def __init__(self, rng, smooth):
        self.rng = rng
        self.pool = []  # (text, names of leaves that it depends on)
        self.lines = []
        self.functions = SMOOTH if smooth else SMOOTH + KINKED

    def pick(self):
        # What was written last is rather read than what was there from the beginning.
        weights = np.arange(1, len(self.pool) + 1) ** 1.5
        return self.pool[self.rng.choice(len(self.pool), p=weights / weights.sum())]

    def write(self, text, leaves):
        name = f"v{len(self.lines)}"
        self.lines.append(f"    {name} = {text}")
        self.pool.append((name, leaves))
        return self.pool[-1]

    def operate(self):
        values = [self.pick() for _ in range(4)]
        template = str(self.rng.choice(self.functions))
        leaves = set()
        for n, (_, of) in enumerate(values):
            if f"{{{n}}}" in template:
                leaves |= of
        text = template.format(*(text for text, _ in values))
        if self.rng.random() < 0.5:
            text = f"tanh({text})"
        return self.write(text, leaves)

    def mean(self):
        text, leaves = self.pick()
        return self.write(f"mean({text})", leaves)


def _gates(rng, states, projects):
    """Declarations of gates, and for each the expressions of which all have to be used."""
    gates, leaves, called = {}, {}, []
    for n in range(rng.integers(0, 6)):
        name = f"g{n}"
        kind = rng.choice(["sum", "sum", "halves", "x", "h", "called", "both", "several", "other"])
        if kind == "called" and projects:
            kind = "sum"
        gates[name] = states[0]
        if kind == "called":
            called.append(name)
            continue
        if kind == "several":
            gates[name] = " ".join(rng.permutation(states))
        if kind == "other":
            gates[name] = states[-1]
        half = gates[name].split()[0]
        leaves[name] = {
            "sum": [f"a.{name}"], "several": [f"a.{name}"], "other": [f"a.{name}"], "x": [f"a.{name}.x"],
            "h": [f"a.{name}.h"], "halves": [f"a.{name}.x", f"a.{name}.{half}"], "both": [f"a.{name}", f"a.{name}.x"],
        }[kind]  # fmt: skip
    return gates, leaves, called


def random_formula(seed, smooth=False):
    """The formula of a seed; a smooth one has no kinks, so that differences can tell its gradients."""
    rng = np.random.default_rng(seed)
    states = ["h", "c", "m"][: rng.integers(1, 4)]
    projects = rng.random() < 0.1
    gates, gate_leaves, called = _gates(rng, states, projects)
    units = {f"p{n}": 0.0 for n in range(rng.integers(0, 3))}
    scalars = {f"q{n}": 0.0 for n in range(rng.integers(0, 3))}
    inputs = [f"e{n}{rng.choice(['', ':row', ':step'])}" for n in range(rng.integers(0, 3))]
    writer = _Writer(rng, smooth)
    leaves = [leaf for of in gate_leaves.values() for leaf in of]
    leaves += [f"u.{name}" for name in (*units, *scalars)] + [f"x.{name.split(':')[0]}" for name in inputs]
    required = set(leaves) | {f"a.{name}(v)" for name in called}
    leaves += [f"s.{name}" for name in states[projects:]] + (["x.x"] if rng.random() < 0.2 else [])
    if not leaves:
        leaves = ["x.x"]
    writer.pool += [(str(leaf), {str(leaf)}) for leaf in rng.permutation(leaves)]
    work = ["operate"] * int(rng.integers(2, 26)) + [f"call {name}" for name in called]
    work += ["mean"] * int(rng.integers(0, 3)) if rng.random() < 0.3 else []
    for task in rng.permutation(work):
        if task == "operate":
            writer.operate()
        elif task == "mean":
            writer.mean()
        else:
            text, of = writer.pick()
            name = task.split()[1]
            writer.write(f"a.{name}({text})", of | {f"a.{name}(v)"})
            required.discard(f"a.{name}(v)")
            required.add(writer.pool[-1][0])
            writer.pool[-1][1].add(writer.pool[-1][0])
    results = [writer.pick() for _ in states]
    missing = sorted(required - set().union(*(of for _, of in results)))
    texts = [text for text, _ in results]
    for leaf in missing:
        n = rng.integers(len(texts))
        texts[n] = f"{texts[n]} + 0.3 * {leaf}"
    texts = [f"tanh({text})" if rng.random() < 0.7 or "v" not in text else text for text in texts]
    if projects:
        texts[0] = f"project({texts[0]})"
    source = "\n".join(["def step(a, s, u, x):", *writer.lines, f"    return {', '.join(texts)}", ""])
    heads = 2 if rng.random() < 0.15 else 1
    declarations = {
        "gates": gates,
        "states": " ".join(states),
        "units": units,
        "scalars": scalars,
        "inputs": " ".join(inputs),
        "heads": heads,
        "output": states[0] if projects or rng.random() < 0.6 else str(rng.choice(states)),
    }
    return RandomFormula(source, declarations)
