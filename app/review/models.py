"""What the API takes and gives, checked field by field. (row, column) in frame pixels; mm."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.review.store import Action, State

# No frame has as many pixels in a row.
FARTHEST_PX = 100_000.0
MOST_CONTOURS, MOST_POINTS = 64, 20_000

Coordinate = Annotated[
    float, Field(ge=-FARTHEST_PX, le=FARTHEST_PX, allow_inf_nan=False, strict=True)
]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Line = Annotated[list[Point], Field(min_length=2, max_length=2)]
Polygon = Annotated[list[Point], Field(min_length=3, max_length=MOST_POINTS)]
Polygons = Annotated[list[Polygon], Field(max_length=MOST_CONTOURS)]
FrameNumber = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Reason = Literal[
    "wrong_place",
    "wrong_plane",
    "poor_picture",
    "not_visible",
    "cut_off",
    "wrong_scale",
    "other",
]
REASONS: dict[str, str] = {
    "wrong_place": "the outline is on another structure",
    "wrong_plane": "not the midsagittal plane",
    "poor_picture": "the picture is too poor to measure",
    "not_visible": "no endometrium to be seen",
    "cut_off": "the endometrium is cut off by the edge of the picture",
    "wrong_scale": "the scale cannot be right",
    "other": "another reason (say which in the note)",
}


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewIn(_Given):
    """A review to save. `version` is how many reviews its author had seen."""

    version: Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]
    action: Action
    frame: FrameNumber | None = None
    calipers: Line | None = None
    layers: Annotated[list[Line], Field(min_length=2, max_length=2)] | None = None
    contours: Polygons | None = None
    fluid: Polygons | None = None
    reason: Reason | None = None
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None
    override: Annotated[bool, Field(strict=True)] = False


class SnapIn(_Given):
    """A drawn outline to measure."""

    frame: FrameNumber
    contours: Annotated[list[Polygon], Field(min_length=1, max_length=MOST_CONTOURS)]
    fluid: Polygons | None = None


class LoginIn(_Given):
    """A name and a password."""

    name: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class UserIn(_Given):
    """A person to add."""

    name: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    role: Literal["reader", "reviewer", "admin"]


class PasswordIn(_Given):
    """A new password."""

    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class ErrorOut(BaseModel):
    """Why not, in words for a person."""

    error: str
    reason: str | None = None


class MeOut(BaseModel):
    """Who is asking."""

    name: str
    role: Literal["reader", "reviewer", "admin"]
    blind: bool
    show_identity: bool


class UserOut(BaseModel):
    """An account."""

    name: str
    role: Literal["reader", "reviewer", "admin"]


class UsersOut(BaseModel):
    """All accounts."""

    users: list[UserOut]


class DoneOut(BaseModel):
    """It was done."""

    done: Literal[True] = True


class HealthOut(BaseModel):
    """The server answers."""

    status: Literal["ok"] = "ok"


class ProgressOut(BaseModel):
    """How far all of it is."""

    total: int
    done: int
    open: int


class ItemOut(BaseModel):
    """A clip on the worklist. What the machine says is null in a blind study."""

    id: str
    name: str
    acquired_at: str | None
    patient: str | None
    status: str | None
    call: str | None
    reason: str | None
    words: str | None
    thickness_mm: float | None
    lower_mm: float | None
    upper_mm: float | None
    threshold_mm: float
    quality: float | None
    frames: int | None
    need: str | None
    need_words: str | None
    state: State
    review_mm: float | None
    review_call: str | None
    reviewer: str | None
    reviewed_at: str | None


class ChoiceOut(BaseModel):
    """One of a closed list, and how people say it."""

    key: str
    words: str


class FiltersOut(BaseModel):
    """What there is to filter by."""

    reviewers: list[str]
    calls: list[str]
    statuses: list[str]
    needs: list[ChoiceOut]


class WorklistOut(BaseModel):
    """A page of the worklist."""

    progress: ProgressOut
    total: int
    page: int
    pages: int
    items: list[ItemOut]
    filters: FiltersOut


class IdOut(BaseModel):
    """A clip by its id."""

    id: str
    state: State


class IdsOut(BaseModel):
    """The whole worklist in its order."""

    items: list[IdOut]


class _MeasuredOut(BaseModel):
    """What a measurement says, of a clip or of a frame."""

    status: str
    reason: str | None
    words: str
    message: str | None
    thickness_mm: float | None
    lower_mm: float | None
    upper_mm: float | None
    call: str | None
    call_words: str | None
    quality: float | None
    fluid: bool | None
    calipers: list[list[float]] | None


class MeasurementOut(_MeasuredOut):
    """What the machine says of a clip."""

    frame: int | None
    sonographer_mm: float | None


class StripOut(BaseModel):
    """A frame that was measured."""

    frame: int | None
    status: str
    thickness_mm: float | None
    lower_mm: float | None
    upper_mm: float | None
    quality: float | None


class ReviewOut(BaseModel):
    """What was saved."""

    number: int
    reviewer: str
    at: str
    action: Action
    state: State
    frame: int | None
    thickness_mm: float | None
    call: str | None
    call_words: str | None
    before_mm: float | None
    calipers: list[list[float]] | None
    layers: list[list[list[float]]] | None
    contours: list[list[list[float]]] | None
    fluid: list[list[list[float]]] | None
    reason: str | None
    reason_words: str | None
    note: str | None
    reading: bool


class TrendOut(BaseModel):
    """A study of the same patient. `id` leads to its clip."""

    id: str
    acquired_at: str
    thickness_mm: float
    lower_mm: float | None
    upper_mm: float | None
    reviewed: bool
    call: str | None
    here: bool


class PositionOut(BaseModel):
    """A place in the order, from 1."""

    index: int
    of: int


class ScaleOut(BaseModel):
    """The scale of one picture of a frame that holds several; `box` with all four included."""

    box: list[int]
    row_mm: float
    column_mm: float


class ClipOut(BaseModel):
    """All that the page needs to show a clip."""

    id: str
    name: str
    patient: str | None
    acquired_at: str | None
    frames: int | None
    frame: int
    rows: int | None
    columns: int | None
    row_mm: float | None
    column_mm: float | None
    calibration: str | None
    calibration_words: str
    scales: list[ScaleOut]
    frame_ms: float | None
    threshold_mm: float
    blind: bool
    can_save: bool
    problem: str | None
    measurement: MeasurementOut | None
    box: list[int] | None
    per_frame: list[StripOut]
    version: int
    review: ReviewOut | None
    history: list[ReviewOut]
    next: str | None
    previous: str | None
    position: PositionOut
    trend: list[TrendOut]
    reasons: list[ChoiceOut]


class FrameOut(_MeasuredOut):
    """A frame measured by the pipeline of the run."""

    frame: int
    contours: list[list[list[float]]]
    fluid_contours: list[list[list[float]]]
    spacing: list[float] | None


class SnapOut(BaseModel):
    """A drawn outline, measured."""

    thickness_mm: float
    calipers: list[list[float]]
    fluid: bool
    fluid_mm: float
    profile_mm: list[float]


class SavedOut(BaseModel):
    """What was saved, and where to go on."""

    review: ReviewOut
    version: int
    next: str | None


class StaleOut(ErrorOut):
    """Somebody saved meanwhile."""

    review: ReviewOut | None = None
    version: int | None = None
