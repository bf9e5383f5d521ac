"""How smooth a motion is: the spectral arc length of its speed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

CUT_OFF_HZ = 10.0
"""Frequencies above this are no part of a movement."""
LEAST_AMPLITUDE = 0.05
"""Of the spectrum's largest: what is below, up to the end of the range looked at, is noise."""
_PADDING = 4
Floats = npt.NDArray[np.float64]


def spectral_arc_length(speed: Floats, period_s: float) -> float:
    """SPARC: the negative length of the normalized amplitude spectrum of a speed; nearer to 0 is smoother.

    Balasubramanian, Melendez-Calderon, Burdet 2012, with the adaptive range of frequencies of Balasubramanian et al.
    2015, "On the analysis of movement smoothness", J. NeuroEngineering Rehabil. 12:112.

    Args:
        speed: ``(T,)``, any unit: it does not depend on the scale.
        period_s: between two of them.

    Returns:
        Below 0; NaN where nothing moved, or too little was recorded.
    """
    if len(speed) < 4 or not period_s > 0 or not np.isfinite(speed).all() or not np.abs(speed).max() > 0:
        return math.nan
    count = 2 ** (math.ceil(math.log2(len(speed))) + _PADDING)
    spectrum = np.abs(np.fft.rfft(speed, count))
    spectrum = spectrum / spectrum.max()
    frequency = np.fft.rfftfreq(count, period_s)
    within = frequency <= CUT_OFF_HZ
    spectrum, frequency = spectrum[within], frequency[within]
    loud = np.flatnonzero(spectrum >= LEAST_AMPLITUDE)
    chosen = slice(int(loud[0]), int(loud[-1]) + 1)
    spectrum, frequency = spectrum[chosen], frequency[chosen]
    if len(frequency) < 2:
        return math.nan
    span = frequency[-1] - frequency[0]
    steps = np.hypot(np.diff(frequency) / span, np.diff(spectrum))
    return -float(steps.sum())
