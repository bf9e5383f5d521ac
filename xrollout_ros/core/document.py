"""What every document of the project is made of: a strict model, names and numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Coordinates = Annotated[tuple[Finite, ...], Field(min_length=1)]


class Strict(BaseModel):
    """A document whose unknown keys are errors and whose values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Box(Strict):
    """A box in the space of an observation, one value for each axis."""

    lower: Coordinates
    upper: Coordinates

    @model_validator(mode="after")
    def _check(self) -> Box:
        if len(self.lower) != len(self.upper):
            raise ValueError(f"lower has {len(self.lower)} values, upper {len(self.upper)}: they must agree")
        if any(low >= high for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(f"lower {self.lower} is not below upper {self.upper} on every axis")
        return self
