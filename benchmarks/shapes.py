"""Analytic endometria whose true thickness is known from how they are built, not from measuring.

A shape is a midline made of circular arcs and, on each side of it, a half width that is a function
of the arc length. A point belongs to the shape if its distance to the midline is below the half
width of its foot point, so the chord perpendicular to the midline at arc length s is exactly
``side_a(s) + side_b(s)`` and the truth is the maximum of that sum over s. All lengths are in mm and
all points and vectors are (row, column).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Width = Callable[[Array], Array]

# Thickness along the midline over its maximum, fundus to cervix: the median of 1,647 drawn outlines
ANATOMY = (0.659, 0.846, 0.929, 0.952, 0.945, 0.935, 0.917, 0.890, 0.861, 0.815,
           0.768, 0.717, 0.662, 0.606, 0.554, 0.501, 0.456, 0.414, 0.370, 0.292)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A band around a midline of arcs.

    `arcs` are (length mm, turn rad) one after another. `half` maps arc length (mm) to the half
    width (mm); `rough` holds two functions (one a side) that are added to it as boundary noise.
    """

    arcs: tuple[tuple[float, float], ...]
    half: Width
    truth_mm: float
    ends: tuple[str, str] = ("round", "round")
    rough: tuple[Width, Width] | None = None
    fluid_half: Width | None = None
    extras: tuple[Callable[[Array, Array], NDArray[np.bool_]], ...] = field(default=())
    holes: tuple[tuple[float, float, float], ...] = ()  # (s, n, radius) in midline coordinates
    name: str = ""

    @property
    def length_mm(self) -> float:
        return sum(length for length, _ in self.arcs)

    def coordinates(self, points: Array) -> tuple[Array, Array, Array]:
        """Foot arc length s, signed offset n, overshoot beyond an end, for points (m, 2)."""
        m = len(points)
        best = np.full(m, np.inf)
        s_out, n_out, over_out = np.zeros(m), np.zeros(m), np.zeros(m)
        start, heading, s0 = np.zeros(2), 0.0, 0.0
        for index, (length, turn) in enumerate(self.arcs):
            along = np.array([np.cos(heading), np.sin(heading)])
            side = np.array([-np.sin(heading), np.cos(heading)])
            local = points - start
            u, v = local @ along, local @ side
            if abs(turn) < 1e-9:
                s, n = u, v
                end = start + length * along
            else:
                radius = length / turn
                angle = np.arctan2(np.sign(radius) * u, np.sign(radius) * (radius - v))
                s = angle * radius
                n = radius - np.sign(radius) * np.hypot(u, radius - v)
                end = start + radius * np.sin(turn) * along + radius * (1 - np.cos(turn)) * side
            foot = np.clip(s, 0.0, length)
            if abs(turn) < 1e-9:
                foot_uv = np.stack([foot, np.zeros(m)], 1)
            else:
                a = foot / radius
                foot_uv = np.stack([radius * np.sin(a), radius * (1 - np.cos(a))], 1)
            distance = np.hypot(u - foot_uv[:, 0], v - foot_uv[:, 1])
            inside = s == foot
            # beyond the end of an arc the tangent line there carries the overshoot
            tip = foot / length * turn
            du, dv = u - foot_uv[:, 0], v - foot_uv[:, 1]
            over = np.where(inside, 0.0, du * np.cos(tip) + dv * np.sin(tip))
            offset = np.where(inside, n, -du * np.sin(tip) + dv * np.cos(tip))
            if index > 0:
                distance = np.where(s < 0, distance + 1e-9, distance)
            better = distance < best
            best = np.where(better, distance, best)
            s_out = np.where(better, s0 + foot, s_out)
            n_out = np.where(better, offset, n_out)
            over_out = np.where(better, over, over_out)
            start, heading, s0 = end, heading + turn, s0 + length
        return s_out, n_out, over_out

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (m, 2) in mm lie in the shape (with its fluid)."""
        s, n, over = self.coordinates(points)
        half = self.half(s)
        if self.rough is not None:
            half = half + np.where(n >= 0, self.rough[0](s), self.rough[1](s))
        total = self.length_mm
        result = (np.abs(over) < 1e-9) & (np.abs(n) < half)
        for end, at in zip(self.ends, (0.0, total), strict=True):
            if end == "round":
                beyond = (s == at) & (np.abs(over) >= 1e-9)
                result |= beyond & (np.hypot(over, n) < half)
        for extra in self.extras:
            result |= extra(s, n) & (np.abs(over) < 1e-9)
        for s_hole, n_hole, radius in self.holes:
            result &= np.hypot(s - s_hole, n - n_hole) >= radius
        return result

    def inside_fluid(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (m, 2) in mm lie in the fluid."""
        if self.fluid_half is None:
            return np.zeros(len(points), bool)
        s, n, over = self.coordinates(points)
        return (np.abs(over) < 1e-9) & (np.abs(n) < self.fluid_half(s))

    def extent(self) -> Array:
        """Points (m, 2) on the midline in mm, to find the bounding box."""
        points, start, heading = [], np.zeros(2), 0.0
        for length, turn in self.arcs:
            t = np.linspace(0, 1, 60)[:, None]
            headings = heading + turn * (t + 0.5 / 59)
            steps = np.hstack([np.cos(headings), np.sin(headings)]) * length / 59
            path = start + np.vstack([np.zeros((1, 2)), np.cumsum(steps[:-1], 0)])
            points.append(path)
            start, heading = path[-1], heading + turn
        return np.vstack(points)


@dataclass(frozen=True)
class Picture:
    """A drawn shape: arrays (rows, columns) in [0, 1] and how pixels map to the shape's mm."""

    probability: Array
    fluid: Array | None
    spacing_mm: tuple[float, float]
    truth_mm: float


def draw(
    shape: Shape,
    spacing_mm: tuple[float, float],
    angle_rad: float = 0.0,
    phase: tuple[float, float] = (0.0, 0.0),
    kind: str = "coverage",
    window: tuple[float, float, float, float] | None = None,
) -> Picture:
    """Draw a shape turned by `angle_rad`, its origin shifted by `phase` pixels.

    kind: `coverage` (anti-aliased, 8 x 8 supersampled at the edge), `binary` (pixel centres),
    `blur` (coverage blurred by one pixel), `plateau` (blurred and scaled to 0.85), `sigmoid` (of
    the signed distance, 0.7 pixel wide). `window` (row, column, row, column) in mm of the turned
    shape cuts the array; without it the array holds the shape and a margin.
    """
    turn = np.array(
        [[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]]
    )
    spacing = np.asarray(spacing_mm)
    spine = shape.extent() @ turn.T
    s = np.linspace(0, shape.length_mm, 200)
    reach = float(np.max(shape.half(s))) + 6 * float(spacing.max())
    if shape.rough or shape.extras:
        reach += 1.1 * float(np.max(shape.half(s))) + 1.0
    low, high = spine.min(0) - reach, spine.max(0) + reach
    if window is not None:
        low, high = np.array(window[:2]), np.array(window[2:])
    count = np.ceil((high - low) / spacing).astype(int)
    origin = low + np.asarray(phase) * spacing

    def to_shape(index: Array) -> Array:
        return (origin + index * spacing) @ turn  # the inverse rotation

    def render(test: Callable[[Array], NDArray[np.bool_]]) -> Array:
        grid = np.stack(np.meshgrid(*map(np.arange, count), indexing="ij"), -1).reshape(-1, 2)
        hard = test(to_shape(grid.astype(float))).reshape(count)
        image = hard.astype(float)
        if kind == "binary":
            return image
        from scipy import ndimage  # noqa: PLC0415

        box = np.ones((3, 3))
        edge = ndimage.binary_dilation(hard, box) & ~ndimage.binary_erosion(
            hard, box, border_value=1
        )
        if kind == "sigmoid":
            return _sigmoid(image, edge, lambda p: test(to_shape(p)), spacing)
        ticks = (np.arange(8) + 0.5) / 8 - 0.5
        sub = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
        where = np.argwhere(edge)
        points = (where[:, None] + sub[None]).reshape(-1, 2)
        image[edge] = test(to_shape(points)).reshape(len(where), -1).mean(1)
        if kind in ("blur", "plateau"):
            image = ndimage.gaussian_filter(image, 1.0, mode="nearest")
        return image * 0.85 if kind == "plateau" else image

    union = render(shape.inside)
    if shape.fluid_half is None:
        return Picture(union, None, spacing_mm, shape.truth_mm)
    fluid = np.minimum(render(shape.inside_fluid), union)
    return Picture(union - fluid, fluid, spacing_mm, shape.truth_mm)


def _sigmoid(
    image: Array,
    edge: NDArray[np.bool_],
    test: Callable[[Array], NDArray[np.bool_]],
    spacing: Array,
) -> Array:
    """Sigmoid of the signed distance to edge points that bisection puts on the true boundary."""
    from scipy import ndimage, spatial  # noqa: PLC0415

    points = []
    for step in (np.array([0, 1]), np.array([1, 0])):
        for fraction in (0.0, 0.25, 0.5, 0.75):  # lines between pixel rows and columns too
            base = np.argwhere(ndimage.binary_dilation(edge)).astype(float) + fraction * step[::-1]
            a, b = base, base + step
            inside_a, inside_b = test(a), test(b)
            cross = inside_a != inside_b
            a, b, inside_a = a[cross], b[cross], inside_a[cross]
            for _ in range(16):
                middle = (a + b) / 2
                same = (test(middle) == inside_a)[:, None]
                a, b = np.where(same, middle, a), np.where(same, b, middle)
            points.append((a + b) / 2)
    tree = spatial.cKDTree(np.vstack(points) * spacing)
    band = ndimage.binary_dilation(edge, np.ones((3, 3)), iterations=8)  # beyond, it is 0 or 1
    grid = np.argwhere(band) * spacing
    distance, index = tree.query(grid, k=2)
    a, b = tree.data[index[:, 0]], tree.data[index[:, 1]]
    t = np.einsum("ij,ij->i", grid - a, b - a) / np.maximum(
        np.einsum("ij,ij->i", b - a, b - a), 1e-12
    )
    foot = a + np.clip(t, 0, 1)[:, None] * (b - a)
    exact = np.minimum(np.hypot(*(grid - foot).T), distance[:, 0])
    signed = np.where(image[band] > 0.5, exact, -exact)
    result = image.copy()
    result[band] = 1 / (1 + np.exp(-np.clip(signed / (0.7 * spacing.max()), -40, 40)))
    return result


def bend(length_mm: float, turn: float, kind: str = "arc") -> tuple[tuple[float, float], ...]:
    """A midline: one `arc`, an `elbow` (the whole turn in the middle third) or an `s`."""
    if kind == "elbow":
        return ((length_mm / 3, 0.0), (length_mm / 3, turn), (length_mm / 3, 0.0))
    if kind == "s":
        return ((length_mm / 2, turn / 2), (length_mm / 2, -turn / 2))
    return ((length_mm, turn),)


def constant(thickness_mm: float, length_mm: float, turn: float = 0.0, **more: object) -> Shape:
    """A band of one thickness; the midline is `length_mm` without round ends."""
    return Shape(
        bend(length_mm, turn, str(more.pop("kind", "arc"))),
        lambda s: np.full_like(s, thickness_mm / 2),
        thickness_mm,
        **more,  # type: ignore[arg-type]
    )


def bump(thickness_mm: float, length_mm: float, turn: float, at: float, drop: float) -> Shape:
    """Cosine profile, thickest at the fraction `at`, lower by the fraction `drop` at both ends."""

    def half(s: Array) -> Array:
        u = np.where(s < at * length_mm, s / (at * length_mm),
                     (length_mm - s) / ((1 - at) * length_mm))  # fmt: skip
        return thickness_mm / 2 * (1 - drop * (1 + np.cos(np.pi * np.clip(u, 0, 1))) / 2)

    return Shape(bend(length_mm, turn), half, thickness_mm)


def plateau(thickness_mm: float, length_mm: float, turn: float, a: float, b: float) -> Shape:
    """Full thickness from fraction a to b, smooth falls to 55 % at the ends (b < 1) or none."""

    def half(s: Array) -> Array:
        u = s / length_mm
        left = np.clip((a - u) / max(a, 1e-9), 0, 1)
        right = np.clip((u - b) / max(1 - b, 1e-9), 0, 1)
        fall = np.maximum(left, right)
        return thickness_mm / 2 * (1 - 0.45 * fall * fall * (3 - 2 * fall))

    return Shape(bend(length_mm, turn), half, thickness_mm)


def anatomy(thickness_mm: float, length_mm: float, turn: float, kind: str = "arc") -> Shape:
    """The median human profile from fundus to cervix."""
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415

    curve = PchipInterpolator(np.linspace(0, 1, len(ANATOMY)), np.array(ANATOMY) / max(ANATOMY))

    def half(s: Array) -> Array:
        return thickness_mm / 2 * np.asarray(curve(np.clip(s / length_mm, 0, 1)))

    return Shape(bend(length_mm, turn, kind), half, thickness_mm)


def pear(thickness_mm: float, length_mm: float, turn: float, arm: float) -> Shape:
    """A disc at the fundal end that runs into an arm of `arm` times its diameter."""
    radius = thickness_mm / 2
    length = max(length_mm, 1.6 * thickness_mm)

    def half(s: Array) -> Array:
        disc = np.sqrt(np.clip(radius**2 - (s - radius) ** 2, 0, None))
        return np.where(s > radius, np.maximum(disc, arm * radius), disc)

    # straight through the disc, so that its chord is its diameter; then the bend
    arcs = ((1.1 * thickness_mm, 0.0), (length - 1.1 * thickness_mm, turn))
    return Shape(arcs, half, thickness_mm, ends=("none", "round"))


def ellipse(thickness_mm: float, ratio: float) -> Shape:
    """An ellipse with axes `ratio` * thickness and thickness; ratio 1 is a disc."""
    a = ratio * thickness_mm / 2

    def half(s: Array) -> Array:
        return thickness_mm / 2 * np.sqrt(np.clip(1 - ((s - a) / a) ** 2, 0, None))

    return Shape(((2 * a, 0.0),), half, thickness_mm, ends=("none", "none"))


def ragged(shape: Shape, sigma_mm: float, scale_mm: float, rng: np.random.Generator) -> Shape:
    """Add boundary noise of standard deviation sigma and correlation length scale to both sides.

    The truth stays that of the smooth shape: noise must not make the measurement larger.
    """

    def side() -> Width:
        n = 60
        frequency = np.abs(rng.normal(0, 1 / scale_mm, n))
        phase = rng.uniform(0, 2 * np.pi, n)
        amplitude = sigma_mm * np.sqrt(2 / n)
        return lambda s: amplitude * np.cos(np.multiply.outer(s, frequency) + phase).sum(-1)

    return replace(shape, rough=(side(), side()))


def with_fluid(shape: Shape, fluid_mm: float, start: float, stop: float, added: bool) -> Shape:
    """Put a lens of fluid between two fractions of the midline.

    `added`: the lens pushes the layers apart, so the two layers keep their thickness everywhere;
    otherwise the outline stays and the truth is the thickest place beside the lens.
    """
    length = shape.length_mm
    a, b = start * length, stop * length

    def lens(s: Array) -> Array:
        u = np.clip((s - a) / (b - a), 0, 1)
        return fluid_mm / 2 * np.sin(np.pi * u)

    base = shape.half
    if added:
        return replace(shape, half=lambda s: base(s) + lens(s), fluid_half=lens)
    return replace(shape, fluid_half=lens)


def with_spur(shape: Shape, at: float, width_mm: float, height_mm: float) -> Shape:
    """Add a thin rectangle that stands on one side at the fraction `at` of the midline."""
    s0 = at * shape.length_mm
    base = float(shape.half(np.array([s0]))[0])

    def spur(s: Array, n: Array) -> NDArray[np.bool_]:
        return (np.abs(s - s0) < width_mm / 2) & (n > 0) & (n < base + height_mm)

    return replace(shape, extras=(*shape.extras, spur))
