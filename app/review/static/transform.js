// Pure: how frame pixels fall on the screen. Pixels are shown square in millimetres.

export const NEAREST = 40; // screen pixels of one frame pixel at the closest zoom

/** Screen pixels (x, y) of one frame pixel at scale 1: the coarser axis is stretched. */
export function aspect(spacing) {
  if (!spacing) return { x: 1, y: 1 };
  const least = Math.min(spacing[0], spacing[1]);
  return { x: spacing[1] / least, y: spacing[0] / least };
}

/** The whole box in the middle of a window of width x height, with a margin. */
export function fit(box, spacing, width, height, margin = 16) {
  const { x, y } = aspect(spacing);
  const [wide, tall] = [(box[3] - box[1] + 1) * x, (box[2] - box[0] + 1) * y];
  const free = Math.max(Math.min((width - 2 * margin) / wide, (height - 2 * margin) / tall), 0.01);
  return { scale: free, x: (width - wide * free) / 2, y: (height - tall * free) / 2 };
}

/** Zoom by a factor so that the frame point under (px, py) stays under it. */
export function zoomAt(view, factor, px, py, least) {
  const scale = Math.min(Math.max(view.scale * factor, least), NEAREST);
  const f = scale / view.scale;
  return { scale, x: px - (px - view.x) * f, y: py - (py - view.y) * f };
}

/** Keep at least a third of the picture in the window. */
export function keepInside(view, box, spacing, width, height) {
  const { x, y } = aspect(spacing);
  const wide = (box[3] - box[1] + 1) * x * view.scale;
  const tall = (box[2] - box[0] + 1) * y * view.scale;
  const hold = (at, size, room) => {
    const seen = Math.min(size, room) / 3;
    return Math.min(Math.max(at, seen - size), room - seen);
  };
  return { scale: view.scale, x: hold(view.x, wide, width), y: hold(view.y, tall, height) };
}

/** Frame point [row, column] -> screen {x, y}; whole numbers are the centres of pixels. */
export function toScreen([r, c], view, box, spacing) {
  const { x, y } = aspect(spacing);
  return {
    x: view.x + (c - box[1] + 0.5) * x * view.scale,
    y: view.y + (r - box[0] + 0.5) * y * view.scale,
  };
}

/** Screen {x, y} -> frame point [row, column]; the inverse of toScreen. */
export function toFrame(at, view, box, spacing) {
  const { x, y } = aspect(spacing);
  return [
    (at.y - view.y) / (y * view.scale) + box[0] - 0.5,
    (at.x - view.x) / (x * view.scale) + box[1] - 0.5,
  ];
}
