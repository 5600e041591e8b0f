"""Something like speech, made of harmonics under formants, and hiss: a voice that says nothing, in phrases and pauses.

A voiced sound is a sum of the harmonics of a pitch that falls through a phrase. The vocal tract makes those loud that
are near its resonances, the formants, and it is their places, and how they move, that make a vowel or another. What is
hissed is noise above 2.5 kHz. Detectors of speech take it for speech, which is all that is asked of it here.
"""

import numpy as np

RATE = 16000  # samples a second
FRAME = 80  # samples from one shape of the vocal tract to the next: 5 ms
# Hz of the first three formants, as textbooks give them for a man's a, e, i, o, u and schwa.
VOWELS = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240], [500, 1500, 2500]]
)
BANDWIDTHS = np.array([80.0, 100.0, 140.0])  # Hz


def voice(pitch, formants, loudness):
    """Samples (N * FRAME,) of a pitch in Hz (N,), formants in Hz (N, 3) and a loudness (N,), frame by frame."""
    times, frames = np.arange(len(pitch) * FRAME) / FRAME, np.arange(len(pitch))
    phase = 2 * np.pi * np.cumsum(np.interp(times, frames, pitch)) / RATE
    sound = np.zeros(len(times))
    for harmonic in range(1, int(4000 / pitch.max()) + 1):
        f = harmonic * pitch[:, None]
        resonances = formants**2 / np.hypot(formants**2 - f**2, BANDWIDTHS * f)
        amplitudes = loudness * resonances.prod(axis=1) / harmonic  # the glottis and the lips: 6 dB less an octave
        sound += np.interp(times, frames, amplitudes) * np.sin(harmonic * phase)
    return sound


def hiss(count, rng):
    """Noise of that many samples, without what is below 2.5 kHz."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / RATE) < 2500] = 0
    return np.fft.irfft(spectrum, count)


def smooth(values, width):
    """The mean of that many frames around each, along the first axis."""
    padded = np.pad(values, [(width // 2, width - 1 - width // 2)] + [(0, 0)] * (values.ndim - 1), "edge")
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).mean(-1)


def phrase(rng):
    """Some syllables in one breath, without a pause."""
    size = rng.uniform(0.85, 1.2)  # of the vocal tract: a smaller one has higher formants
    vowels, loudness, hisses = [], [], []
    for _ in range(rng.integers(3, 10)):
        consonant, vowel = rng.integers(6, 16), rng.integers(18, 40)
        hissed = rng.random() < 0.35
        vowels.append(np.repeat(VOWELS[rng.integers(len(VOWELS), size=1)], consonant + vowel, axis=0))
        loudness += [0.05 if hissed else rng.choice([0.0, 0.3])] * consonant + [rng.uniform(0.6, 1)] * vowel
        hisses += [rng.uniform(0.1, 0.3) if hissed else 0.0] * consonant + [0.0] * vowel
    loudness, hisses = smooth(np.array(loudness), 5), smooth(np.array(hisses), 5)
    formants = size * smooth(np.concatenate(vowels).astype(float), 14)
    count = len(loudness)
    pitch = rng.uniform(90, 210) * np.linspace(1.15, 0.85, count) * (1 + 0.03 * smooth(rng.standard_normal(count), 9))
    times, frames = np.arange(count * FRAME) / FRAME, np.arange(count)
    ends = np.minimum(1, np.minimum(frames, frames[::-1]) / 8)
    sound = voice(pitch, formants, ends * loudness)
    sound /= np.abs(sound).max()
    return sound + np.interp(times, frames, ends * hisses) * hiss(count * FRAME, rng)


def speech(seconds, seed=0, noise=0.003):
    """Phrases at different loudness with pauses of 0.3 to 1.5 s between them, in noise: float32 (seconds * RATE,)."""
    rng = np.random.default_rng(seed)
    sound, end = np.zeros(int(seconds * RATE)), int(0.5 * RATE)
    while end < len(sound):
        said = rng.uniform(0.1, 0.5) * phrase(rng)[: len(sound) - end]
        sound[end : end + len(said)] = said
        end += len(said) + int(rng.uniform(0.3, 1.5) * RATE)
    return (sound + noise * rng.standard_normal(len(sound))).astype(np.float32)
