// Pure: an outline as a field of coverage that a brush can paint, and back to an outline.

const SCANS = 4; // scan lines per row of cells

/** An empty field over box [row0, column0, row1, column1] with fine x fine cells per pixel. */
export function emptyField(box, fine = 2) {
  const [rows, columns] = [(box[2] - box[0] + 1) * fine, (box[3] - box[1] + 1) * fine];
  return { top: box[0], left: box[1], rows, columns, fine, values: new Float32Array(rows * columns) };
}

const cellRow = (field, r) => (r + 0.5 - field.top) * field.fine; // edges of cells are whole numbers
const cellColumn = (field, c) => (c + 0.5 - field.left) * field.fine;

/** Fill closed contours (even-odd) into a new field: the share of every cell that lies inside. */
export function rasterise(contours, box, fine = 2) {
  const field = emptyField(box, fine);
  const crossings = new Map(); // scan line -> where it crosses an edge
  for (const contour of contours)
    contour.forEach((p, i) => {
      const q = contour[(i + 1) % contour.length];
      const [r0, r1] = [cellRow(field, p[0]) * SCANS, cellRow(field, q[0]) * SCANS];
      const [c0, c1] = [cellColumn(field, p[1]), cellColumn(field, q[1])];
      const first = Math.max(Math.ceil(Math.min(r0, r1) - 0.5), 0);
      const last = Math.min(Math.ceil(Math.max(r0, r1) - 0.5), field.rows * SCANS);
      for (let scan = first; scan < last; scan++) {
        const at = c0 + ((scan + 0.5 - r0) / (r1 - r0)) * (c1 - c0);
        if (crossings.has(scan)) crossings.get(scan).push(at);
        else crossings.set(scan, [at]);
      }
    });
  for (const [scan, at] of crossings) {
    at.sort((a, b) => a - b);
    const start = Math.floor(scan / SCANS) * field.columns;
    for (let k = 0; k + 1 < at.length; k += 2)
      addSpan(field.values, start, field.columns, at[k], at[k + 1]);
  }
  return field;
}

function addSpan(values, start, columns, from, to) {
  const [a, b] = [Math.max(from, 0), Math.min(to, columns)];
  for (let j = Math.floor(a); j < Math.ceil(b); j++)
    values[start + j] += (Math.min(b, j + 1) - Math.max(a, j)) / SCANS;
}

/** Paint along the way from `a` to `b` with a round brush of `radiusMm`; `add` false erases. */
export function paint(field, a, b, radiusMm, spacing, add = true) {
  const step = [spacing[0] / field.fine, spacing[1] / field.fine]; // mm per cell
  const soft = Math.max(step[0], step[1]);
  const mmOf = ([r, c]) => [cellRow(field, r) * step[0], cellColumn(field, c) * step[1]];
  const [p, q] = [mmOf(a), mmOf(b)];
  const way = [q[0] - p[0], q[1] - p[1]];
  const length2 = way[0] ** 2 + way[1] ** 2;
  const reach = radiusMm + soft;
  const range = (k, size) => [
    Math.max(Math.floor((Math.min(p[k], q[k]) - reach) / step[k]), 0),
    Math.min(Math.ceil((Math.max(p[k], q[k]) + reach) / step[k]), size),
  ];
  const [[i0, i1], [j0, j1]] = [range(0, field.rows), range(1, field.columns)];
  for (let i = i0; i < i1; i++) {
    const dr = (i + 0.5) * step[0] - p[0];
    for (let j = j0; j < j1; j++) {
      const dc = (j + 0.5) * step[1] - p[1];
      const along = length2 > 0 ? (dr * way[0] + dc * way[1]) / length2 : 0;
      const t = Math.min(Math.max(along, 0), 1);
      const away = Math.hypot(dr - t * way[0], dc - t * way[1]);
      const cover = Math.min(Math.max(0.5 + (radiusMm - away) / soft, 0), 1);
      const k = i * field.columns + j;
      field.values[k] = add
        ? Math.max(field.values[k], cover)
        : Math.min(field.values[k], 1 - cover);
    }
  }
}

/** Outer contours of what is more than half covered, as frame points, the largest first. */
export function outerContours(field) {
  return trace(field)
    .map((line) => ({ line, area: signedArea(line) }))
    .filter(({ area }) => area > 0)
    .sort((a, b) => b.area - a.area)
    .map(({ line }) =>
      line.map(([i, j]) => [
        (i + 0.5) / field.fine - 0.5 + field.top,
        (j + 0.5) / field.fine - 0.5 + field.left,
      ]),
    );
}

function signedArea(line) {
  return line.reduce((sum, [i, j], k) => {
    const [ni, nj] = line[(k + 1) % line.length];
    return sum + (nj * i - j * ni) / 2;
  }, 0);
}

// Marching squares at one half, zero around the field. Edge ids: 2 per corner, rightwards and down.
function trace(field) {
  const width = field.columns + 2;
  const value = (i, j) =>
    i < 0 || j < 0 || i >= field.rows || j >= field.columns ? 0 : field.values[i * field.columns + j];
  const next = new Map();
  const points = new Map();
  const across = (i, j) => 2 * ((i + 1) * width + j + 1);
  const down = (i, j) => across(i, j) + 1;
  const place = (id, a, b, i, j, vertical) => {
    const t = (0.5 - a) / (b - a);
    points.set(id, vertical ? [i + t, j] : [i, j + t]);
    return id;
  };
  const [i0, i1, j0, j1] = bounds(field);
  for (let i = i0 - 1; i <= i1; i++)
    for (let j = j0 - 1; j <= j1; j++) {
      const [a, b, c, d] = [value(i, j), value(i, j + 1), value(i + 1, j + 1), value(i + 1, j)];
      const kind = (a > 0.5) + 2 * (b > 0.5) + 4 * (c > 0.5) + 8 * (d > 0.5);
      if (kind === 0 || kind === 15) continue;
      const top = () => place(across(i, j), a, b, i, j, false);
      const bottom = () => place(across(i + 1, j), d, c, i + 1, j, false);
      const left = () => place(down(i, j), a, d, i, j, true);
      const right = () => place(down(i, j + 1), b, c, i, j + 1, true);
      for (const [from, to] of SEGMENTS[kind](top, right, bottom, left)) next.set(from, to);
    }
  return link(next, points);
}

/** First and last row and column of cells more than half covered. */
function bounds({ rows, columns, values }) {
  let [i0, i1, j0, j1] = [rows, -1, columns, -1];
  for (let i = 0; i < rows; i++)
    for (let j = 0, k = i * columns; j < columns; j++, k++)
      if (values[k] > 0.5) {
        if (i < i0) i0 = i;
        i1 = i;
        if (j < j0) j0 = j;
        if (j > j1) j1 = j;
      }
  return [i0, i1, j0, j1];
}

// For each set of corners inside (1 top left, 2 top right, 4 bottom right, 8 bottom left): segments
// with the inside on their left as seen on the screen: outer contours get a positive area.
const SEGMENTS = {
  1: (t, r, b, l) => [[l(), t()]],
  2: (t, r, b, l) => [[t(), r()]],
  3: (t, r, b, l) => [[l(), r()]],
  4: (t, r, b, l) => [[r(), b()]],
  5: (t, r, b, l) => [[l(), t()], [r(), b()]],
  6: (t, r, b, l) => [[t(), b()]],
  7: (t, r, b, l) => [[l(), b()]],
  8: (t, r, b, l) => [[b(), l()]],
  9: (t, r, b, l) => [[b(), t()]],
  10: (t, r, b, l) => [[t(), r()], [b(), l()]],
  11: (t, r, b, l) => [[b(), r()]],
  12: (t, r, b, l) => [[r(), l()]],
  13: (t, r, b, l) => [[r(), t()]],
  14: (t, r, b, l) => [[t(), l()]],
};

function link(next, points) {
  const lines = [];
  while (next.size) {
    const [start] = next.keys();
    const line = [];
    for (let id = start; next.has(id); ) {
      line.push(points.get(id));
      const to = next.get(id);
      next.delete(id);
      id = to;
    }
    if (line.length > 2) lines.push(line);
  }
  return lines;
}
