"""What a cycle of the flywheel is made of: ``config/recipes/flywheel.yaml``, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from xrollout_ros.core.document import Finite, Name, Strict
from xrollout_ros.core.errors import from_validation
from xrollout_ros.core.resources import load_yaml, share_dir
from xrollout_ros.cycle.comparing.verdict import Rules

FORMAT: Literal["xrollout.flywheel"] = "xrollout.flywheel"
SHIPPED = "flywheel.yaml"
_REMEDY = "`xrollout flywheel recipe` prints the usual one; docs/close_the_loop.md explains it."
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class DeploySpec(Strict):
    """How the deployed policy is tried."""

    attempts: Count = Field(default=40, description="of each cycle")
    starts: tuple[Name, ...] = Field(
        default=(), description="named start distributions, easy ones first; none: the task's, the narrowest first"
    )
    raise_at: Share = Field(default=0.7, description="success at a start above which the next harder one is tried more")


class StageSpec(Strict):
    """Success rates of the deployed policy from which on another stage holds."""

    mining: Share = 0.45
    active: Share = 0.7
    auto_labels: Share = 0.85
    slack: Share = Field(default=0.05, description="a stage is gone back from only when it is missed by this")

    @model_validator(mode="after")
    def _check(self) -> StageSpec:
        if not self.mining < self.active < self.auto_labels:
            raise ValueError(
                f"mining {self.mining}, active {self.active} and auto_labels {self.auto_labels} do not ascend"
            )
        return self


class CollectSpec(Strict):
    """What is collected in a cycle."""

    first: Count = Field(default=8, description="demonstrations that the first policy is trained from")
    demonstrations: Count = Field(default=15, description="successful ones of each cycle, at most")
    candidates: Annotated[int, Field(ge=0)] = Field(
        default=200, description="fresh starts to choose from where the policy's scores choose"
    )
    tries: Count = Field(default=4, description="rollouts from each start where the policy teaches itself")


class TrainSpec(Strict):
    """How a policy is trained."""

    level: Annotated[int, Field(ge=1, le=4)] = Field(default=4, description="of the pyramid")
    base: Literal["scratch", "deployed"] = Field(
        default="scratch", description="deployed: go on from the deployed policy's weights"
    )
    options: dict[Name, Any] = Field(
        default_factory=dict, description="options of `xrollout train`, by name with underscores, e.g. epochs, policy"
    )

    @model_validator(mode="after")
    def _check(self) -> TrainSpec:
        for name in ("data", "output", "base_model", "seed", "restart", "task"):
            if name in self.options:
                raise ValueError(f"options.{name} is for the flywheel itself to say")
        return self


class CompareSpec(Strict):
    """How the new policy is compared with the deployed one."""

    rules: Rules = Rules()
    workers: Annotated[int, Field(ge=0)] = Field(default=0, description="processes; 0: one for each core")


class RollbackSpec(Strict):
    """When the policy before is taken back, by what the new one does live."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05, description="largest probability that a policy which is no worse is taken back, ever"
    )

    @property
    def bound(self) -> float:
        """E-value at which it is taken back."""
        return 1 / self.alpha


class TriggerSpec(Strict):
    """What makes a cycle begin, where it waits for attempts that others make. One is enough."""

    episodes: Count | None = Field(default=25, description="new attempts of the deployed policy")
    every_h: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="hours since the last cycle began, if there is any new attempt"
    )
    failure_rate: Share | None = Field(
        default=None, description="the share of failures is above this, at 95 % confidence whenever it is looked at"
    )
    alarm_rate: Share | None = Field(default=None, description="the same of attempts in which an alarm was raised")

    @model_validator(mode="after")
    def _check(self) -> TriggerSpec:
        if all(value is None for value in (self.episodes, self.every_h, self.failure_rate, self.alarm_rate)):
            raise ValueError("no trigger is set, so no cycle would ever begin")
        return self


class FlywheelRecipe(Strict):
    """All of it."""

    format: Literal["xrollout.flywheel"] = FORMAT
    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0, lt=10**6)] = 0
    deploy: DeploySpec = DeploySpec()
    stages: StageSpec = StageSpec()
    collect: CollectSpec = CollectSpec()
    train: TrainSpec = TrainSpec()
    compare: CompareSpec = CompareSpec()
    rollback: RollbackSpec = RollbackSpec()
    trigger: TriggerSpec = TriggerSpec()
    pyramid: dict[str, Any] = Field(
        default_factory=dict, description="changes to the pyramid's recipe, as `pyramid build --recipe` takes them"
    )
    gates: dict[Literal["L0", "L1", "L2", "L3", "L4"], Finite] = Field(
        default_factory=dict, description="success that a level's gate asks for, where it is not the usual one"
    )


def shipped_recipe() -> Path:
    """The file of the usual one.

    Raises:
        SpecError: nothing that is shipped was found.
    """
    return share_dir() / "config" / "recipes" / SHIPPED


def load_recipe(path: str = "") -> FlywheelRecipe:
    """The recipe of a YAML file, or the shipped one.

    Raises:
        SpecError: it cannot be read, or a value is not allowed.
    """
    file = Path(path).expanduser() if path else shipped_recipe()
    return recipe_from(load_yaml(file, "flywheel recipe"), file)


def recipe_from(document: Any, origin: str | Path) -> FlywheelRecipe:
    """A recipe out of what a file holds; what it does not name is as usual.

    Raises:
        SpecError: a value is not allowed.
    """
    try:
        return FlywheelRecipe.model_validate(document or {})
    except ValidationError as error:
        raise from_validation(error, "flywheel recipe", origin, _REMEDY) from error
