"""The midline of a region and the chords perpendicular to it, in mm of the region's crop.

A first curve comes from the skeleton. It is then moved to the middle of its own chords until it
rests there, which also turns oblique chords (they are too long) into perpendicular ones. Curves are
smoothed by penalised differences (Whittaker; Eilers, Anal. Chem. 75, 2003, 3631), which bridges
stations without a chord and goes on beyond the ends with the curvature that it has.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, ndimage, sparse
from scipy.sparse import csgraph

from inference.outline import EIGHT, LEVEL, Array, Mask, Region, interpolate, spur_mask

MAX_STEP_MM = 0.1  # design section 5: chords every 0.1 mm or closer
STATIONS_PER_RADIUS = 12  # the same, for thin bands
ROUNDS = 8  # of moving the midline to the middle; most rest after three or four
REST = 0.01  # of the inscribed radius: a midline that moves less than this rests
CAP = 0.5  # of the local half chord: stations closer to a tip than this do not steer
WAVELENGTH = 2.4  # of the inscribed radius: shorter waves of the midline are noise


@dataclass(frozen=True)
class Chords:
    """Chords along a midline; n stations.

    points: (n, 2) midline in mm of the crop; normals: (n, 2) unit vectors; plus, minus: (n,) mm
    from the midline to the outline along +normal and -normal, NaN where unknown; cut: (n,) bool, a
    side leaves the array; step_mm between stations; open_ends: the tip (start, end) lies on the
    border of the array.
    """

    points: Array
    normals: Array
    plus: Array
    minus: Array
    cut: Mask
    step_mm: float
    open_ends: tuple[bool, bool]

    @property
    def outer(self) -> Array:
        """Chord lengths (n,) in mm, outline to outline; NaN where unknown."""
        result: Array = self.plus + self.minus
        return result

    def cap(self, fraction: float) -> Mask:
        """Stations (n,) closer to a tip than a fraction of their half chord."""
        n = len(self.points)
        from_start = np.arange(n) * self.step_mm
        from_end = from_start[::-1]
        half = np.where(np.isfinite(self.outer), self.outer, 0.0) / 2
        result: Mask = np.minimum(from_start, from_end) < fraction * half
        return result


def smooth(values: Array, weights: Array, penalty: Array | float, order: int) -> Array:
    """Whittaker smoother along axis 0: minimise sum w (z - y)^2 + sum penalty (diff^order z)^2.

    values: (n,) or (n, k), entries of weight 0 may be NaN; weights: (n,); penalty: a number or one
    for each of the n - order differences.
    """
    n = len(values)
    kernel = np.array([1.0])
    for _ in range(order):
        kernel = np.convolve(kernel, [-1.0, 1.0])
    lam = np.broadcast_to(np.asarray(penalty, dtype=np.float64), (n - order,))
    bands = np.zeros((order + 1, n))  # lower form of W + D' diag(penalty) D
    bands[0] = weights
    for i in range(order + 1):
        for j in range(i + 1):
            bands[i - j, j : j + n - order] += lam * kernel[i] * kernel[j]
    known = np.where(weights > 0, 1.0, 0.0) * weights
    clean = np.where(np.isfinite(values), values, 0.0)
    right = clean * (known if values.ndim == 1 else known[:, None])
    result: Array = linalg.solveh_banded(bands, right, lower=True)
    return result


def penalty_for(wavelength_mm: float, step_mm: float, order: int) -> float:
    """Penalty that halves a wave of this length."""
    omega = 2 * np.sin(min(np.pi * step_mm / wavelength_mm, np.pi / 2))
    return float(omega ** (-2 * order))


def resample(points: Array, step_mm: float) -> tuple[Array, float]:
    """A polyline (n, 2) at equal steps of about `step_mm`, and the exact step."""
    run = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(int(np.ceil(run[-1] / step_mm)), 8)
    at = np.linspace(0.0, run[-1], count + 1)
    return np.stack([np.interp(at, run, points[:, k]) for k in (0, 1)], axis=1), run[-1] / count


def normals_of(points: Array) -> Array:
    """Unit normals (n, 2) of a curve, the tangent turned from rows towards columns."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-12)[:, None]
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def first_path(region: Region, radius_mm: float) -> Array:
    """A first midline (n, 2) in mm: the heaviest path of the skeleton, or the long axis."""
    finest = float(region.spacing.min())
    grid = min(radius_mm / 8, max(finest, radius_mm / 20))
    extent = (np.array(region.field.shape) - 1) * region.spacing
    axes = [np.arange(0.0, e + grid, grid) for e in extent]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    mask = interpolate(region.field, lattice / region.spacing, order=1) > LEVEL
    mask = np.pad(mask, 1)
    # opening removes spurs; the largest part stays
    depth = ndimage.distance_transform_edt(mask) * grid
    kernel = depth > 0.25 * radius_mm
    if kernel.any():
        mask &= ndimage.distance_transform_edt(~kernel) * grid < 0.25 * radius_mm
    labels, count = ndimage.label(mask, structure=EIGHT)
    if count > 1:
        mask = labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    path = _heaviest_path(mask, depth) * grid - grid
    if len(path) >= 3:
        path = _trim(path, np.maximum(_depth_at(region, path), grid))
    length = float(np.hypot(*np.diff(path, axis=0).T).sum()) if len(path) > 1 else 0.0
    if length >= 1.2 * radius_mm:
        return path
    inside = np.argwhere(mask) * grid - grid
    if len(inside) < 3:  # so small that the finer lattice misses it
        inside = np.argwhere(region.filled) * region.spacing
    centre = inside.mean(0)
    values, vectors = np.linalg.eigh(np.cov((inside - centre).T))
    reach = np.sqrt(values[1]) * np.linspace(-1.0, 1.0, 21)[:, None]
    result: Array = centre + reach * vectors[:, 1]
    return result


def _depth_at(region: Region, points: Array) -> Array:
    return interpolate(region.depth_mm, points / region.spacing, order=1)


def _heaviest_path(mask: Mask, depth: Array) -> Array:
    """Longest path of the skeleton, each step weighted by its depth, as (n, 2) grid indices."""
    from skimage.morphology import skeletonize

    bones = skeletonize(mask)
    nodes = np.argwhere(bones)
    if len(nodes) < 3:
        return nodes.astype(np.float64)
    index = np.full(mask.shape, -1)
    index[tuple(nodes.T)] = np.arange(len(nodes))
    rows, columns, lengths = [], [], []
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):  # the mask is padded: shifts stay inside
        other = index[tuple((nodes + shift).T)]
        has = other >= 0
        a, b = np.nonzero(has)[0], other[has]
        weight = (depth[tuple(nodes[a].T)] + depth[tuple(nodes[b].T)]) * np.hypot(*shift)
        rows.append(a)
        columns.append(b)
        lengths.append(weight)
    graph = sparse.coo_matrix(
        (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(nodes), len(nodes)),
    ).tocsr()
    root = int(np.argmax(depth[tuple(nodes.T)]))
    far = _farthest(csgraph.dijkstra(graph, directed=False, indices=root))
    distance, before = csgraph.dijkstra(
        graph, directed=False, indices=far, return_predecessors=True
    )
    at, path = _farthest(distance), []
    while at >= 0:
        path.append(nodes[at])
        at = int(before[at])
    return np.array(path, dtype=np.float64)


def _farthest(distance: Array) -> int:
    return int(np.argmax(np.where(np.isfinite(distance), distance, -1.0)))


def _trim(path: Array, depth: Array) -> Array:
    """Cut both ends where they may be a branch into a corner (arc length < 1.6 depth)."""
    run = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    middle = int(np.searchsorted(run, run[-1] / 2))
    index = np.arange(len(path))
    head = (run < 1.6 * depth) & (index < middle)
    tail = (run[-1] - run < 1.6 * depth) & (index > middle)
    first = int(np.argmin(head[: middle + 1])) if head[0] else 0
    backwards = tail[::-1]
    last = len(path) - (int(np.argmin(backwards)) if backwards[0] else 0)
    return path[first:last]


def trace(region: Region, points: Array, directions: Array, radius_mm: float) -> Array:
    """Distance (n,) in mm from points (n, 2) along unit directions to the outline; inf: left array.

    Steps are as long as the depth allows (no outline is closer), then the bracket is refined by
    regula falsi on the cubic field to about 1e-4 pixel.
    """
    finest = float(region.spacing.min())
    last = (np.array(region.field.shape) - 1) * region.spacing
    n = len(points)
    near, far, result = np.zeros(n), np.zeros(n), np.full(n, np.nan)
    near_value, far_value = region.sample(points) - LEVEL, np.zeros(n)
    active = np.nonzero(near_value > 0)[0]
    crossed = np.zeros(n, dtype=bool)
    slack = 1.5 * float(region.spacing.max())
    limit = 8.0 * radius_mm + 4 * slack
    while len(active):
        here = points[active] + near[active, None] * directions[active]
        ahead = np.maximum(_depth_at(region, here) - slack, 0.4 * finest)
        at = near[active] + ahead
        there = points[active] + at[:, None] * directions[active]
        out = ((there < 0.0) | (there > last)).any(axis=1) | (at > limit)
        result[active[out]] = np.inf
        value = region.sample(there) - LEVEL
        passed = (value <= 0) & ~out
        hit = active[passed]
        crossed[hit], far[hit], far_value[hit] = True, at[passed], value[passed]
        go = ~out & ~passed
        active = active[go]
        near[active], near_value[active] = at[go], value[go]
    hit = np.nonzero(crossed)[0]
    a, b, fa, fb = near[hit], far[hit], near_value[hit], far_value[hit]
    for _ in range(4):
        c = np.clip(a + (b - a) * fa / np.maximum(fa - fb, 1e-12), a, b)
        fc = region.sample(points[hit] + c[:, None] * directions[hit]) - LEVEL
        inner = fc > 0
        a, fa = np.where(inner, c, a), np.where(inner, fc, fa)
        b, fb = np.where(inner, b, c), np.where(inner, fb, fc)
    result[hit] = a + (b - a) * fa / np.maximum(fa - fb, 1e-12)
    return result


def chords_of(
    region: Region, points: Array, step_mm: float, radius_mm: float, spurs: Mask
) -> Chords:
    """Trace both sides of every station of a midline (n, 2) in mm that lies in the region."""
    normals = normals_of(points)
    both = trace(
        region, np.concatenate([points] * 2), np.concatenate([normals, -normals]), radius_mm
    )
    plus, minus = both[: len(points)], both[len(points) :]
    cut = np.isinf(plus) | np.isinf(minus)
    if spurs.any():
        for side, sign in ((plus, 1.0), (minus, -1.0)):
            ends = points + sign * np.where(np.isfinite(side), side - 0.1, 0.0)[:, None] * normals
            index = np.rint(ends / region.spacing).astype(int)
            index = np.clip(index, 0, np.array(spurs.shape) - 1)
            side[spurs[index[:, 0], index[:, 1]]] = np.nan
    plus, minus = (np.where(np.isfinite(side), side, np.nan) for side in (plus, minus))
    edge = (np.array(region.field.shape) - 1) * region.spacing
    slack = 1.5 * float(region.spacing.max())
    ends = points[[0, -1]]
    at_border: Mask = np.any((ends < slack) | (ends > edge - slack), axis=1, keepdims=False)
    open_ends = [bool(end) and region.touches_border for end in at_border]
    return Chords(points, normals, plus, minus, cut, step_mm, (open_ends[0], open_ends[1]))


def _inside_run(region: Region, points: Array, seed: int) -> Array:
    """The run of stations around `seed` inside the outline and the array."""
    last = (np.array(region.field.shape) - 1) * region.spacing
    good = (region.sample(points) > LEVEL) & ((points >= 0) & (points <= last)).all(axis=1)
    if not good[seed]:
        hits = np.nonzero(good)[0]
        if len(hits) == 0:
            return points[:0]
        seed = int(hits[np.argmin(np.abs(hits - seed))])
    before = np.nonzero(~good[:seed])[0]
    after = np.nonzero(~good[seed:])[0]
    start = int(before[-1]) + 1 if len(before) else 0
    stop = seed + int(after[0]) if len(after) else len(points)
    return points[start:stop]


def find_midline(region: Region, radius_mm: float) -> Chords | None:
    """The midline that rests in the middle of its chords; None if it does not stay inside.

    radius_mm: of the inscribed circle, the scale of all smoothing.
    """
    step = min(MAX_STEP_MM, radius_mm / STATIONS_PER_RADIUS)
    coarse = radius_mm / STATIONS_PER_RADIUS
    points, exact = resample(first_path(region, radius_mm), coarse)
    weights = np.ones(len(points))
    chords, rests = None, False
    spurs = spur_mask(region, radius_mm)
    for round_index in range(ROUNDS + 1):
        wave = WAVELENGTH * radius_mm * (2.0 if round_index == 0 else 1.0)
        extra = (
            int(np.ceil(1.8 * radius_mm / exact))
            if round_index == 0
            else 3 + int(0.3 * radius_mm / exact)
        )
        padded = np.pad(points, ((extra, extra), (0, 0)), constant_values=np.nan)
        order = 2 if round_index == 0 else 3
        curve = smooth(padded, np.pad(weights, extra), penalty_for(wave, exact, order), order)
        seed = extra + len(points) // 2
        inside = _inside_run(region, curve, seed)
        if len(inside) < 5:
            return None
        final = rests or round_index == ROUNDS
        points, exact = resample(inside, step if final else coarse)
        chords = chords_of(region, points, exact, radius_mm, spurs)
        if final:
            break
        offset = (chords.plus - chords.minus) / 2
        steer = np.isfinite(offset) & ~chords.cap(CAP)
        if steer.sum() < 4:
            return None
        moved = points + np.where(steer, offset, 0.0)[:, None] * chords.normals
        weights = steer.astype(np.float64)
        points, rests = moved, float(np.abs(offset[steer]).max()) < REST * radius_mm
    return chords
