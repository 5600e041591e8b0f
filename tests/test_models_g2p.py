"""examples/models/g2p.py beside g2p-en: the same states and scores, and the same phonemes.

It needs nothing else, and is skipped where the package is missing.
"""

from __future__ import annotations

import numpy as np
import pytest

from real_packages import KINDS, program, table

g2p = program("g2p", "g2p_en")
WORDS = ["activationist", "recurra", "zyx", "pneumonoultramicroscopic", "don't", "a", *g2p.english(200)]

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")  # of the package


@pytest.fixture(scope="module")
def own():
    return g2p.Own()


@pytest.fixture(scope="module")
def said(own):
    return own(WORDS)


def scores_of(own, word, codes):
    """What the package's decoder makes of a word and what it has said of it."""
    v, (h,) = own.module, own.heard([word])
    scores, h = [], h[0]
    for code in [g2p.START, *codes]:
        h = v.grucell(v.dec_emb[[code]], h, v.dec_w_ih, v.dec_w_hh, v.dec_b_ih, v.dec_b_hh)
        scores.append(h @ v.fc_w.T + v.fc_b)
    return np.concatenate(scores)


def test_states_and_scores_are_the_package_s(own, said):
    speller = g2p.Speller()
    assert abs(speller.heard(WORDS)[0] - own.heard(WORDS)[0]).max() < 1e-5
    for word, codes in zip(WORDS[:20], said, strict=False):
        theirs = scores_of(own, word, codes)[: g2p.MOST]
        ours = speller.scores([word])[0][:, 0]
        assert ours.shape == theirs.shape
        assert abs(ours - theirs).max() < 1e-5 * abs(theirs).max()


def test_phonemes_are_the_package_s(said):
    speller = g2p.Speller()
    assert speller(WORDS) == said
    assert [speller([word])[0] for word in WORDS[:20]] == said[:20]
    assert max(map(len, said)) > 10


@pytest.mark.parametrize(("weights", "least"), [("int8", 0.96), ("bfloat16", 0.98), ("float16", 0.99)])
def test_phonemes_by_compressed_weights(weights, least, said):
    ours = g2p.Speller(weights)(WORDS)
    assert sum(a == b for a, b in zip(ours, said, strict=True)) >= least * len(WORDS)
    assert ours[0] == said[0]


def test_the_program_prints_its_tables(monkeypatch, capsys):
    lines = table(g2p, ["--words", "5"], monkeypatch, capsys)
    assert [line[0] for line in lines if line and line[0] in KINDS] == [*KINDS] * 2
