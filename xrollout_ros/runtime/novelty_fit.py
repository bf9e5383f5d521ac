"""Fits the models of ``novelty`` to attempts that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.threads import one_thread
from xrollout_ros.runtime.novelty import (
    KINDS,
    Density,
    Floats,
    Icm,
    Kind,
    LogpZO,
    Net,
    Novelty,
    Rnd,
    Standard,
    Steps,
    joined,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTH, FEATURES = 64, 16
STEPS, EPOCHS, BATCH, LR = 800, 100, 128, 2e-3
"""Not more steps, and not more epochs; little is learned by heart soon."""
MOST_KNOWN = 4096
"""Rows that density remembers."""
FLOW_STEPS, AT_BEGIN = 1000, 0.25
"""A flow takes longer to learn; the share of its draws at time 0."""
FOLDS = 3
RARE = 0.99
FORWARD_SHARE = 0.2
"""Of the curiosity module's loss, as in its paper; the rest is the inverse model's."""


def fit(kind: Kind, attempts: Sequence[Steps], seed: int = 0) -> Novelty:
    """A novelty model of what these attempts hold, in some seconds; the same bits for the same seed.

    The scale is measured on attempts that were held out, each once; the model that is returned knows all of them.

    Args:
        kind: one of ``KINDS``.
        attempts: two or more, each with a step or more.
        seed: any whole number.

    Raises:
        DataError: no such kind, too few attempts, or sizes that differ.
    """
    if kind not in KINDS:
        raise DataError(f"novelty of kind {kind!r}", f"Allowed are {', '.join(KINDS)}.")
    known = [steps for steps in attempts if len(steps)]
    sizes = {steps.state.shape[1] for steps in known}
    if len(known) < 2 or len(sizes) > 1:
        what = f"{len(known)} attempts" if len(known) < 2 else f"states of {', '.join(map(str, sorted(sizes)))} values"
        raise DataError(f"novelty cannot be fitted to {what}", "Give two or more of one robot.")
    order = np.random.default_rng(seed).permutation(len(known))
    unseen = []
    for held in np.array_split(order, min(FOLDS, len(known))):
        first = _fit(kind, joined([steps for index, steps in enumerate(known) if index not in held]), seed)
        unseen.append(first.raw(joined([known[index] for index in held])))
    model = _fit(kind, joined(known), seed)
    model.scale = max(float(np.quantile(np.concatenate(unseen), RARE)), 1e-12)
    return model


def _fit(kind: Kind, steps: Steps, seed: int) -> Novelty:
    states = Standard.of(steps.state)
    if kind == "density":
        rows = states(steps.state)
        chosen = np.random.default_rng(seed).permutation(len(rows))[:MOST_KNOWN]
        return Density(states, 1.0, rows[np.sort(chosen)])
    with one_thread():
        return _NETWORKS[kind](states, steps, seed)


def _rnd(states: Standard, steps: Steps, seed: int) -> Rnd:
    import torch

    rows = torch.from_numpy(states(steps.state)).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        target, learned = _layers(rows.shape[1], FEATURES, 1), _layers(rows.shape[1], FEATURES, 2)
        with torch.no_grad():
            wanted = target(rows)
        _descend(learned, len(rows), lambda batch: ((learned(rows[batch]) - wanted[batch]) ** 2).mean())
    return Rnd(states, 1.0, _plain(target), _plain(learned))


def _logpzo(states: Standard, steps: Steps, seed: int) -> LogpZO:
    import torch

    rows = torch.from_numpy(states(steps.state)).float()
    size = rows.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        velocity = _layers(size + len(_times(torch.zeros(1, 1))[0]), size, 2)

        def loss(batch: Tensor) -> Tensor:
            state, noise, time = rows[batch], torch.randn(len(batch), size), torch.rand(len(batch), 1)
            # A quarter of the draws at the very beginning: there it is asked.
            time = time * (torch.rand(len(batch), 1) > AT_BEGIN)
            said = velocity(torch.cat([state + time * (noise - state), _times(time)], dim=1))
            wrong: Tensor = ((said - (noise - state)) ** 2).mean()
            return wrong

        _descend(velocity, len(rows), loss, FLOW_STEPS)
        at_zero = _times(torch.zeros(1, 1))[0].double().numpy()
    whole = _plain(velocity)
    first, bias = whole.weights[0], whole.biases[0] + at_zero @ whole.weights[0][size:]
    return LogpZO(states, 1.0, Net((first[:size], *whole.weights[1:]), (bias, *whole.biases[1:])))


def _times(time: Tensor) -> Tensor:
    """(N, 8) features of times (N, 1) in [0, 1]: sine and cosine of octaves."""
    import torch

    angle = time * (math.pi / 2) * 2.0 ** torch.arange(4)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _icm(states: Standard, steps: Steps, seed: int) -> Icm:
    import torch
    from torch import nn

    if steps.action is None or steps.following is None:
        raise DataError("steps without actions", "Curiosity is about what follows an action: give (T, A) too.")
    actions = Standard.of(steps.action)
    before, after = (torch.from_numpy(states(each)).float() for each in (steps.state, steps.following))
    sent = torch.from_numpy(actions(steps.action)).float()
    width = sent.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = nn.ModuleList(
            [
                _layers(before.shape[1], FEATURES, 1),
                _layers(2 * FEATURES, width, 1),
                _layers(FEATURES + width, FEATURES, 1),
            ]
        )
        features, inverse, forward = parts

        def loss(batch: Tensor) -> Tensor:
            one, other = features(before[batch]), features(after[batch])
            guessed = inverse(torch.cat([one, other], dim=1))
            expected = forward(torch.cat([one, sent[batch]], dim=1))
            backward, ahead = ((guessed - sent[batch]) ** 2).mean(), ((expected - other) ** 2).mean()
            total: Tensor = (1 - FORWARD_SHARE) * backward + FORWARD_SHARE * ahead
            return total

        _descend(parts, len(before), loss)
    return Icm(states, 1.0, actions, _plain(features), _plain(forward))


def _layers(inputs: int, outputs: int, hidden: int) -> nn.Sequential:
    from torch import nn

    layers: list[Any] = []
    for number in range(hidden):
        layers += [nn.Linear(inputs if number == 0 else WIDTH, WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def _descend(model: nn.Module, rows: int, loss: Callable[[Tensor], Tensor], steps: int = STEPS) -> None:
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    for _ in range(min(steps, EPOCHS * math.ceil(rows / BATCH))):
        batch = torch.randint(rows, (min(BATCH, rows),))
        optimizer.zero_grad(set_to_none=True)
        loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _plain(layers: Any) -> Net:
    linear = [layer for layer in layers if hasattr(layer, "weight")]
    weights: list[Floats] = [layer.weight.detach().numpy().T.astype(np.float64) for layer in linear]
    return Net(tuple(weights), tuple(layer.bias.detach().numpy().astype(np.float64) for layer in linear))


_NETWORKS: dict[Kind, Callable[[Standard, Steps, int], Novelty]] = {"rnd": _rnd, "logpzo": _logpzo, "icm": _icm}
