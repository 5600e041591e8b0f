"""A search for sizes and rates on all CPUs: joblib trains a model for each trial, in processes of its own.

    python examples/search_joblib.py

joblib's workers each get their share of the CPUs: it sets OMP_NUM_THREADS for them, which recurra reads. A trial is a
function of its arguments, seed included, so the table is the same whatever the number of workers.
"""

import itertools
import sys

import numpy as np
from joblib import Parallel, delayed

import recurra


def make_data(count, seed):
    """Sequences of different lengths; the class is whether the first number was positive, to be known at the end."""
    rng = np.random.default_rng(seed)
    sequences = [rng.standard_normal((n, 1)).astype(np.float32) for n in rng.integers(5, 15, count)]
    return sequences, np.array([int(sequence[0, 0] > 0) for sequence in sequences])


def trial(hidden_size, lr):
    """Trains with these; the smallest loss on unseen sequences, and the accuracy in that epoch."""
    model = recurra.Sequential(
        recurra.GRU(1, hidden_size, seed=0), recurra.Last(), recurra.Linear(hidden_size, 2, seed=1)
    )
    history = recurra.fit(
        model,
        recurra.batches(*make_data(400, seed=0), 20, shuffle=True, group_by_length=True),
        recurra.cross_entropy,
        recurra.Adam(model, lr=lr),
        epochs=15,
        validation=recurra.batches(*make_data(200, seed=1), 50),
        metrics={"accuracy": recurra.accuracy},
        patience=4,
    )
    best = int(np.argmin(history.validation))
    return history.best, history.validation_metrics["accuracy"][best]


if __name__ == "__main__":
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else -1  # as many as there are CPUs
    trials = list(itertools.product((8, 32), (0.001, 0.01)))
    results = Parallel(n_jobs=workers)(delayed(trial)(*chosen) for chosen in trials)
    for (hidden_size, lr), (loss, accuracy) in sorted(zip(trials, results, strict=True), key=lambda pair: pair[1]):
        print(f"hidden_size {hidden_size:2d}  lr {lr:5.3f}  loss {loss:.4f}  accuracy {accuracy:.1%}")
