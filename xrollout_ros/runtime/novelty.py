"""How unlike what is known a state is: random network distillation, a flow to noise, intrinsic curiosity, density.

The same models serve the policy's node, which sends a score with each chunk, and the mining of what was recorded. They
are fitted in ``novelty_fit``; scoring takes numpy alone, some tens of µs for a row.

Sources: random network distillation: Burda et al. 2018 (arXiv:1810.12894); logpZO, a flow from data to noise: Xu et al.
2025 (arXiv:2503.08558); intrinsic curiosity: Pathak et al. 2017 (arXiv:1705.05363); density by the distance to the k
nearest neighbours: Loftsgaarden and Quesenberry 1965.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import DataError

Kind = Literal["rnd", "logpzo", "icm", "density"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Floats = npt.NDArray[np.float64]
Arrays = dict[str, Floats]
CLIP = 5.0
"""Standardized values are held within this: a value that never varied would be infinitely far away."""
LEAST_SPREAD = 1e-3
NEIGHBOURS = 5


@dataclass(frozen=True)
class Steps:
    """States, and what followed them."""

    state: Floats
    """(N, D)"""
    action: Floats | None = None
    """(N, A) what was sent at each; curiosity needs it."""
    following: Floats | None = None
    """(N, D) the state that came of it; curiosity needs it."""

    @classmethod
    def of(cls, state: npt.ArrayLike, action: npt.ArrayLike | None = None) -> Steps:
        """The steps of one attempt.

        Args:
            state: (T, D)
            action: (T, A), as sent at each state. With it there are T - 1 steps: nothing is known to follow the last.

        Raises:
            DataError: the shapes do not fit, or a value is not finite.
        """
        states = np.asarray(state, dtype=np.float64)
        actions = None if action is None else np.asarray(action, dtype=np.float64)
        if states.ndim != 2 or (actions is not None and (actions.ndim != 2 or len(actions) != len(states))):
            shapes = f"{states.shape}" + ("" if actions is None else f" with actions of shape {actions.shape}")
            raise DataError(f"states of shape {shapes}", "Give (T, D), and (T, A).")
        if not np.isfinite(states).all() or (actions is not None and not np.isfinite(actions).all()):
            raise DataError("states or actions are not finite", "Leave out the rows with NaN or infinity.")
        return cls(states) if actions is None else cls(states[:-1], actions[:-1], states[1:])

    def __len__(self) -> int:
        return len(self.state)


def joined(parts: Sequence[Steps]) -> Steps:
    """All of them, one after the other."""
    state = np.concatenate([part.state for part in parts])
    actions, after = [part.action for part in parts], [part.following for part in parts]
    if any(each is None for each in (*actions, *after)):
        return Steps(state)
    return Steps(state, np.concatenate(actions), np.concatenate(after))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Standard:
    """Brings values to mean 0 and spread 1, within ``CLIP``."""

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, values: Floats) -> Standard:
        """What these values are spread like."""
        return cls(values.mean(axis=0), np.maximum(values.std(axis=0), LEAST_SPREAD))

    def __call__(self, values: Floats) -> Floats:
        """(N, D) standardized."""
        apart = (values - self.mean) / self.spread
        # np.clip takes several times as long for one row.
        return np.minimum(np.maximum(apart, -CLIP, out=apart), CLIP, out=apart)


def _mean_square(values: Floats) -> Floats:
    """(N,) of each row of ``(N, D)``."""
    found: Floats = np.einsum("nd,nd->n", values, values)
    found /= values.shape[1]
    return found


@dataclass(frozen=True)
class Net:
    """Fully connected layers with ReLU between, as plain arrays."""

    weights: tuple[Floats, ...]
    """Each (inputs, outputs)."""
    biases: tuple[Floats, ...]

    def __call__(self, values: Floats) -> Floats:
        """(N, O) for (N, I)."""
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weight
            values += bias
            if number < len(self.weights) - 1:
                np.maximum(values, 0.0, out=values)
        return values

    def arrays(self, name: str) -> Arrays:
        """Its arrays by name."""
        found = {f"{name}.{number}.w": weight for number, weight in enumerate(self.weights)}
        return found | {f"{name}.{number}.b": bias for number, bias in enumerate(self.biases)}

    @classmethod
    def read(cls, arrays: Mapping[str, Floats], name: str) -> Net:
        """What ``arrays`` gave."""
        layers = sum(key.startswith(f"{name}.") and key.endswith(".w") for key in arrays)
        numbers = range(layers)
        return cls(*(tuple(arrays[f"{name}.{number}.{what}"] for number in numbers) for what in "wb"))


class Novelty(ABC):
    """Scores states; 1 is as unlike as one in a hundred of what is known, attempts held out while it was measured."""

    kind: ClassVar[Kind]

    def __init__(self, states: Standard, scale: float) -> None:
        self.states = states
        self.scale = scale

    @property
    def state_dim(self) -> int:
        """D"""
        return len(self.states.mean)

    def scores(self, steps: Steps) -> Floats:
        """(N,) how novel each is, 0 and above.

        Raises:
            DataError: the states have another size, or what it needs of them is missing.
        """
        if steps.state.shape[1] != self.state_dim:
            raise DataError(
                f"states of {steps.state.shape[1]} values", f"The novelty was fitted to states of {self.state_dim}."
            )
        return self.raw(steps) / self.scale

    @abstractmethod
    def raw(self, steps: Steps) -> Floats:
        """(N,) in units of its own."""

    @abstractmethod
    def parts(self) -> Arrays:
        """What it is made of, besides the standardization of states."""

    @classmethod
    @abstractmethod
    def _read(cls, arrays: Mapping[str, Floats], states: Standard, scale: float) -> Novelty: ...

    def arrays(self) -> Arrays:
        """All of it, to be kept."""
        own = {"mean": self.states.mean, "spread": self.states.spread, "scale": np.array([self.scale])}
        return own | self.parts()


class Rnd(Novelty):
    """A network that was taught, on what is known, to say what a random one says; elsewhere the two differ."""

    kind = "rnd"

    def __init__(self, states: Standard, scale: float, target: Net, learned: Net) -> None:
        super().__init__(states, scale)
        self._target, self._learned = target, learned

    def raw(self, steps: Steps) -> Floats:
        rows = self.states(steps.state)
        apart = self._target(rows)
        apart -= self._learned(rows)
        return _mean_square(apart)

    def parts(self) -> Arrays:
        return self._target.arrays("target") | self._learned.arrays("learned")

    @classmethod
    def _read(cls, arrays: Mapping[str, Floats], states: Standard, scale: float) -> Rnd:
        return cls(states, scale, Net.read(arrays, "target"), Net.read(arrays, "learned"))


class LogpZO(Novelty):
    """How far from the middle of a normal distribution a flow from data to noise would take a state, in one step.

    The flow's velocity v(x, t) is fitted along straight paths from states (t = 0) to noise (t = 1), so x + v(x, 0) is
    the mean of the noise that a known state may become: its squared length, divided by D, is small where states are
    many. Only the velocity at t = 0 is asked for, so what the network makes of the time is part of its first bias.
    """

    kind = "logpzo"

    def __init__(self, states: Standard, scale: float, velocity: Net) -> None:
        super().__init__(states, scale)
        self._velocity = velocity

    def raw(self, steps: Steps) -> Floats:
        rows = self.states(steps.state)
        rows += self._velocity(rows)
        return _mean_square(rows)

    def parts(self) -> Arrays:
        return self._velocity.arrays("velocity")

    @classmethod
    def _read(cls, arrays: Mapping[str, Floats], states: Standard, scale: float) -> LogpZO:
        return cls(states, scale, Net.read(arrays, "velocity"))


class Icm(Novelty):
    """How wrong a forward model is about what follows, in features that tell which action was taken."""

    kind = "icm"

    def __init__(self, states: Standard, scale: float, actions: Standard, features: Net, forward: Net) -> None:
        super().__init__(states, scale)
        self._actions, self._features, self._forward = actions, features, forward

    def raw(self, steps: Steps) -> Floats:
        if steps.action is None or steps.following is None:
            raise DataError("steps without actions", "Curiosity is about what follows an action: give (T, A) too.")
        before, after = self._features(self.states(steps.state)), self._features(self.states(steps.following))
        expected = self._forward(np.concatenate([before, self._actions(steps.action)], axis=1))
        wrong: Floats = ((expected - after) ** 2).mean(axis=1)
        return wrong

    def parts(self) -> Arrays:
        own = {"action_mean": self._actions.mean, "action_spread": self._actions.spread}
        return own | self._features.arrays("features") | self._forward.arrays("forward")

    @classmethod
    def _read(cls, arrays: Mapping[str, Floats], states: Standard, scale: float) -> Icm:
        actions = Standard(arrays["action_mean"], arrays["action_spread"])
        return cls(states, scale, actions, Net.read(arrays, "features"), Net.read(arrays, "forward"))


class Density(Novelty):
    """Mean distance to the nearest known states."""

    kind = "density"

    def __init__(self, states: Standard, scale: float, known: Floats) -> None:
        super().__init__(states, scale)
        self._known = known
        self._tree: Any = None

    def raw(self, steps: Steps) -> Floats:
        if self._tree is None:
            from scipy.spatial import cKDTree

            self._tree = cKDTree(self._known)
        far, _ = self._tree.query(self.states(steps.state), k=min(NEIGHBOURS, len(self._known)))
        mean: Floats = np.asarray(far, dtype=np.float64).reshape(len(steps), -1).mean(axis=1)
        return mean

    def parts(self) -> Arrays:
        return {"known": self._known}

    @classmethod
    def _read(cls, arrays: Mapping[str, Floats], states: Standard, scale: float) -> Density:
        return cls(states, scale, arrays["known"])


_CLASSES: dict[Kind, type[Novelty]] = {each.kind: each for each in (Rnd, LogpZO, Icm, Density)}


def read(kind: str, arrays: Mapping[str, npt.ArrayLike]) -> Novelty:
    """A model that was kept.

    Raises:
        DataError: it is of no known kind, damaged, or not finite.
    """
    if kind not in _CLASSES:
        raise DataError(f"novelty of kind {kind!r}", f"Allowed are {', '.join(KINDS)}.")
    values = {name: np.asarray(each, dtype=np.float64) for name, each in arrays.items()}
    try:
        if not all(np.isfinite(each).all() for each in values.values()):
            raise ValueError("a value is not finite")
        scale = float(values["scale"][0])
        model = _CLASSES[kind]._read(values, Standard(values["mean"], values["spread"]), scale)
        probe = np.zeros((1, model.state_dim))
        action = np.zeros((1, len(values.get("action_mean", ()))))
        model.scores(Steps(probe, action, probe))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"the novelty model ({kind}) is damaged: {error}", "Fit it again.") from error
    return model
