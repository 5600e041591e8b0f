"""recurra.torch.accelerate on models of others: the same numbers."""

from __future__ import annotations

import copy
import importlib.util
import sys
import types
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import recurra.torch  # noqa: E402


def test_a_policy_of_sb3_contrib_learns_the_same():
    """RecurrentPPO: rollouts step by step, episodes that end on their way, several epochs of training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("gymnasium")
        algorithms = pytest.importorskip("sb3_contrib")
        weights = []
        for accelerated in (False, True):
            model = algorithms.RecurrentPPO(
                "MlpLstmPolicy",
                "CartPole-v1",
                seed=0,
                n_steps=64,
                batch_size=32,
                n_epochs=2,
                policy_kwargs={"lstm_hidden_size": 16},
                device="cpu",
            )
            if accelerated:
                assert set(recurra.torch.accelerate(model.policy).swapped) == {"lstm_actor", "lstm_critic"}
            before = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach().clone()
            model.learn(128)
            weights.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach())
            assert (weights[-1] - before).abs().max() > 1e-3
    assert (weights[0] - weights[1]).abs().max() <= 1e-5


def test_a_voice_encoder_with_its_weights(monkeypatch):
    """Resemblyzer's, three layers of 256 units; without what reads audio."""
    found = importlib.util.find_spec("resemblyzer")
    if found is None:
        pytest.skip("could not import 'resemblyzer': no such package")
    package, audio = types.ModuleType("resemblyzer"), types.ModuleType("resemblyzer.audio")
    package.__path__, package.audio = [str(Path(found.origin).parent)], audio
    monkeypatch.setitem(sys.modules, "resemblyzer", package)
    monkeypatch.setitem(sys.modules, "resemblyzer.audio", audio)
    module = importlib.import_module("resemblyzer.voice_encoder")
    theirs = module.VoiceEncoder("cpu", verbose=False)
    ours = copy.deepcopy(theirs)
    assert recurra.torch.accelerate(ours).swapped == {"lstm": "LSTM"}
    spectrograms = torch.rand(2, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, got = theirs(spectrograms), ours(spectrograms)
    assert expected.std() > 0.01
    assert (got - expected).abs().max() <= 2e-6
