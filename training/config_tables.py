"""The tables of the training configuration: every field with its default, limits and meaning."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

# A bundle's grid is a multiple of this, whatever the depth of its network (models.bundle).
GRID_MULTIPLE = 16


class Table(BaseModel):
    """What all tables have in common: no unknown fields, no guessing of types, no changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _share(value: Any) -> Any:
    return float(value) if isinstance(value, bool) else value


class Data(Table):
    """[data]: what the network learns from."""

    phantoms: Annotated[float, BeforeValidator(_share)] = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of simulated pictures in what the network sees; the rest comes from "
        "`datasets`. true is 1, false is 0.",
    )
    showings: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How often the run shows each of its pictures, some steps apart and every "
        "second time as its mirror image. 1 is best where making pictures keeps up with the "
        "network; a GPU would wait for them.",
    )
    datasets: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Folders of annotated images (dataset.json, labels.json or truth.csv), "
        "relative to the configuration file.",
    )
    validation: float | str = Field(
        default=0.2,
        description="Share (0 to 0.9) of the patients of `datasets` kept aside to validate on, or "
        "the folder of a data set of its own, relative to the configuration file. With `folds` the "
        "fold is kept aside instead.",
    )
    balance: bool = Field(
        default=False,
        description="Show as many images without an endometrium as with one, whatever their "
        "numbers in `datasets`.",
    )
    folds: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Parts of equal size, each with patients of its own and alike in thickness, "
        "into which `datasets` are divided; 0 for none. Without `fold` a network is trained for "
        "each, one after another, and all together make an ensemble.",
    )
    fold: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Which of the `folds`, from 1, is kept aside to validate on; 0 for each in "
        "turn.",
    )

    @model_validator(mode="after")
    def _agree(self) -> "Data":
        if isinstance(self.validation, float) and not 0 <= self.validation <= 0.9:
            raise ValueError(f"validation = {self.validation:g} is no share from 0 to 0.9")
        if self.datasets and self.phantoms == 1:
            raise ValueError(
                "datasets would never be seen with phantoms = 1; set phantoms to the share of "
                "simulated pictures, for instance 0.5, or to false"
            )
        if not self.datasets and self.phantoms < 1:
            raise ValueError(
                f"phantoms = {self.phantoms:g} leaves room for real images, but there are none; "
                "name their folders in datasets, or set phantoms to true"
            )
        if self.balance and not self.datasets:
            raise ValueError("balance is about the images of datasets, but there are none")
        return self

    @model_validator(mode="after")
    def _divide(self) -> "Data":
        if self.folds == 1:
            raise ValueError("folds = 1 leaves nothing to learn from; 5 are usual, 0 are none")
        if self.fold > self.folds:
            raise ValueError(
                f"fold = {self.fold}, but there are {self.folds} folds; they count from 1, and "
                "folds says how many there are"
            )
        if self.folds and not self.datasets:
            raise ValueError("folds divide the images of datasets, but there are none")
        if self.folds and isinstance(self.validation, str):
            raise ValueError(
                "with folds every image is validated on by the network that did not see it; take "
                "the folder of validation out, or folds"
            )
        return self


class Network(Table):
    """[network]: the U-Net and the grid it sees."""

    grid_size: int = Field(
        default=256,
        ge=32,
        le=2048,
        description="Side of the network grid in pixels: a multiple of 16, and of "
        "2^(levels - 1) so that every level halves it.",
    )
    mm_per_px: float = Field(
        default=0.3, ge=0.02, le=5, description="Millimetres per pixel of the network grid."
    )
    channels: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(strict=False)] = (
        Field(
            default=(32, 64, 96, 160, 192, 192),
            min_length=2,
            max_length=8,
            description="Feature channels of the U-Net's levels, finest first.",
        )
    )

    @model_validator(mode="after")
    def _halves(self) -> "Network":
        multiple = max(GRID_MULTIPLE, 2 ** (len(self.channels) - 1))
        if self.grid_size % multiple:
            raise ValueError(
                f"grid_size = {self.grid_size} is no multiple of {multiple}, which a network of "
                f"{len(self.channels)} levels needs; the next one is "
                f"{-(-self.grid_size // multiple) * multiple}"
            )
        return self


class Optimiser(Table):
    """[optimiser]: AdamW (Loshchilov and Hutter, ICLR 2019) and its schedule."""

    learning_rate: float = Field(
        default=0.002,
        gt=0,
        le=1,
        description="Highest learning rate, reached after 2 % of the steps.",
    )
    decay: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the steps, at the end, over which the learning rate falls to zero "
        "along half a cosine; 0 keeps it.",
    )
    average_decay: float = Field(
        default=0.998,
        ge=0,
        lt=1,
        description="Decay per step of the running average of the weights, which is what is "
        "validated and shipped.",
    )


class Loss(Table):
    """[loss]: what is made small; see training.losses."""

    dice_weight: float = Field(
        default=1.0, ge=0, le=1000, description="Weight of the soft Dice loss."
    )
    soft_dice: bool = Field(
        default=True,
        description="Whether the Dice loss is smallest where a pixel's probability is its covered "
        "share. Without it the loss pulls every partly covered pixel to 0 or 1.",
    )
    cross_entropy_weight: float = Field(
        default=2.0, ge=0, le=1000, description="Weight of the cross-entropy."
    )
    boundary_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the boundary loss: mean over pixels of distance to the true outline "
        "(mm, at most 5) times error of the probability. It is small: 10 makes it matter.",
    )
    band_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the cross-entropy of endometrium, fluid and all else, the uterus "
        "counted as background: the outline of the uterus is most of the plain cross-entropy.",
    )
    endometrium_weight: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Weight of the endometrium among the labels. Above 1 the network finds it "
        "sooner and draws it too thick, so the last stage of a recipe has 1.",
    )
    fluid_weight: float = Field(
        default=1.0, gt=0, le=100, description="Weight of fluid in the cavity among the labels."
    )
    uterus_weight: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Weight of the uterus among the labels; only simulated pictures know it.",
    )

    @model_validator(mode="after")
    def _something(self) -> "Loss":
        if not (self.dice_weight or self.cross_entropy_weight or self.band_weight):
            raise ValueError(
                "dice_weight, cross_entropy_weight and band_weight are all 0; one has to teach "
                "which label is which"
            )
        return self


class Run(Table):
    """[run]: how it is computed, validated and kept."""

    selection: Literal["last", "thickness", "dice"] = Field(
        default="last",
        description="Which averaged weights the run is for: the last, or those with the smallest "
        "thickness error or the largest Dice on the validation images (those of `--start` are "
        "tried, too); dice needs no millimetres.",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Validations in a row without a better one after which the run ends before "
        "its last step; 0 never. `selection` says what is better.",
    )
    refused_mm: float = Field(
        default=1.5,
        gt=0,
        le=100,
        description="Error in mm that a validation image counts for where nothing was measured on "
        "its endometrium, or something where there is none.",
    )
    validate_every: int = Field(default=500, ge=1, description="Steps between validations.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Of the network's arithmetic in training; auto is bfloat16 on CUDA devices "
        "only, because many CPUs merely emulate it.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the network: a fifth faster on CPUs, needs a C++ compiler; the same "
        "results but for rounding.",
    )
    workers: int = Field(default=1, ge=0, le=256, description="Processes that prepare pictures.")
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between checkpoints.")
    picture_every: int = Field(
        default=1000, ge=1, description="Steps between pictures in TensorBoard."
    )
    tracker: Literal["tensorboard", "mlflow"] = Field(
        default="tensorboard",
        description="Who is told the numbers beside the tables: TensorBoard, in the run's folder, "
        "or MLflow, at MLFLOW_TRACKING_URI or else in the run's folder.",
    )

    @model_validator(mode="after")
    def _waits(self) -> "Run":
        if self.patience and self.selection == "last":
            raise ValueError(
                f"patience = {self.patience} needs to know what is better; set selection to "
                '"thickness", or to "dice" where images have no scale'
            )
        return self
