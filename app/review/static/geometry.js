// Pure geometry in frame pixels: points are [row, column], spacing is [row, column] in mm per pixel.

/** Millimetres between two points; rows and columns may differ in scale. */
export function distanceMm([r0, c0], [r1, c1], [rowMm, columnMm]) {
  return Math.hypot((r1 - r0) * rowMm, (c1 - c0) * columnMm);
}

/** Millimetres of one pair of calipers, or the sum of several (two single layers). */
export function sumMm(pairs, spacing) {
  return pairs.reduce((sum, [a, b]) => sum + distanceMm(a, b, spacing), 0);
}

/** The call of a single number: a person's thickness carries no interval. */
export function callOf(mm, thresholdMm) {
  return mm < thresholdMm ? "thin" : "not_thin";
}

/** Split one pair into two single layers that add up to `mm`, with the fluid between them. */
export function splitLayers([a, b], mm, spacing) {
  const outer = distanceMm(a, b, spacing);
  const share = outer > 0 ? Math.min(Math.max(mm / outer, 0), 1) / 2 : 0.5;
  const at = (t) => [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
  return [[a, at(share)], [at(1 - share), b]];
}

/** One pair across both layers: from the first end to the last. */
export function joinLayers([[a], [, b]]) {
  return [a, b];
}

/** Keep a point on the picture; box = [row0, column0, row1, column1], inclusive. */
export function clampPoint([r, c], [r0, c0, r1, c1]) {
  return [Math.min(Math.max(r, r0 - 0.5), r1 + 0.5), Math.min(Math.max(c, c0 - 0.5), c1 + 0.5)];
}

/** Move all points by one offset that keeps every one of them on the picture. */
export function shiftPoints(points, [dr, dc], box) {
  const clamped = points.map(([r, c]) => clampPoint([r + dr, c + dc], box));
  const least = (k) => {
    const moves = clamped.map((p, i) => p[k] - points[i][k]);
    return moves.reduce((m, v) => (Math.abs(v) < Math.abs(m) ? v : m), k ? dc : dr);
  };
  const [r, c] = [least(0), least(1)];
  return points.map((p) => [p[0] + r, p[1] + c]);
}

/** Lengths in mm of the edges of a closed contour; the last one closes it. */
export function edgesMm(contour, spacing) {
  return contour.map((p, i) => distanceMm(p, contour[(i + 1) % contour.length], spacing));
}

/** A closed contour again, with points about `stepMm` apart (at least 12 of them). */
export function resample(contour, spacing, stepMm) {
  const points = open(contour);
  if (points.length < 3) return points;
  const edges = edgesMm(points, spacing);
  const total = edges.reduce((a, b) => a + b, 0);
  if (!(total > 0)) return points;
  const n = Math.max(12, Math.round(total / stepMm));
  const result = [];
  for (let i = 0, edge = 0, before = 0; i < n; i++) {
    const at = (total * i) / n;
    while (edge < edges.length - 1 && before + edges[edge] < at) before += edges[edge++];
    const t = edges[edge] > 0 ? (at - before) / edges[edge] : 0;
    const [p, q] = [points[edge], points[(edge + 1) % points.length]];
    result.push([p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t]);
  }
  return result;
}

/** A contour without the repeated first point at its end. */
export function open(contour) {
  const [a, b] = [contour[0], contour[contour.length - 1]];
  const repeated = contour.length > 1 && a[0] === b[0] && a[1] === b[1];
  return repeated ? contour.slice(0, -1) : contour;
}

/** Pull point `index` by `move` [rows, columns]; neighbours follow softly along the contour. */
export function bend(contour, index, move, spacing, softMm) {
  const edges = edgesMm(contour, spacing);
  const total = edges.reduce((a, b) => a + b, 0);
  const along = new Float64Array(contour.length);
  for (let i = 1; i < contour.length; i++) along[i] = along[i - 1] + edges[i - 1];
  return contour.map(([r, c], i) => {
    const direct = Math.abs(along[i] - along[index]);
    const way = Math.min(direct, total - direct) / softMm;
    const share = i === index ? 1 : Math.exp(-0.5 * way * way);
    return share < 1e-3 ? [r, c] : [r + move[0] * share, c + move[1] * share];
  });
}

/** Index of the nearest point over all contours, and its distance in mm. */
export function nearest(contours, point, spacing) {
  let best = { contour: -1, index: -1, mm: Infinity };
  contours.forEach((contour, k) =>
    contour.forEach((p, i) => {
      const mm = distanceMm(p, point, spacing);
      if (mm < best.mm) best = { contour: k, index: i, mm };
    }),
  );
  return best;
}

/** Area in mm² of a closed contour. */
export function areaMm2(contour, [rowMm, columnMm]) {
  let twice = 0;
  contour.forEach(([r, c], i) => {
    const [nr, nc] = contour[(i + 1) % contour.length];
    twice += c * nr - nc * r;
  });
  return (Math.abs(twice) / 2) * rowMm * columnMm;
}

/** The middle of a set of points. */
export function middle(points) {
  const n = points.length;
  const sum = points.reduce((s, p) => [s[0] + p[0], s[1] + p[1]], [0, 0]);
  return [sum[0] / n, sum[1] / n];
}

/** Millimetres of the line a-b that lie inside closed polygons (even-odd). */
export function insideMm(a, b, polygons, spacing) {
  const way = [b[0] - a[0], b[1] - a[1]];
  const cuts = [0, 1];
  for (const polygon of polygons)
    polygon.forEach((p, i) => {
      const q = polygon[(i + 1) % polygon.length];
      const edge = [q[0] - p[0], q[1] - p[1]];
      const cross = way[0] * edge[1] - way[1] * edge[0];
      if (cross === 0) return;
      const t = ((p[0] - a[0]) * edge[1] - (p[1] - a[1]) * edge[0]) / cross;
      const u = ((p[0] - a[0]) * way[1] - (p[1] - a[1]) * way[0]) / cross;
      if (t > 0 && t < 1 && u >= 0 && u < 1) cuts.push(t);
    });
  cuts.sort((x, y) => x - y);
  let share = 0;
  for (let k = 0; k + 1 < cuts.length; k++) {
    const t = (cuts[k] + cuts[k + 1]) / 2;
    const at = [a[0] + way[0] * t, a[1] + way[1] * t];
    if (contains(polygons, at)) share += cuts[k + 1] - cuts[k];
  }
  return share * distanceMm(a, b, spacing);
}

/** Whether a point lies inside closed polygons (even-odd). */
export function contains(polygons, [r, c]) {
  let inside = false;
  for (const polygon of polygons)
    polygon.forEach(([r0, c0], i) => {
      const [r1, c1] = polygon[(i + 1) % polygon.length];
      if (r0 <= r !== r1 <= r && c < c0 + ((r - r0) / (r1 - r0)) * (c1 - c0)) inside = !inside;
    });
  return inside;
}
