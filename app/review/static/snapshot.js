// A small still picture of a frame with what was drawn on it, for the conflict dialog.

import { aspect } from "./transform.js";

const WIDTH = 480;

/** A canvas of the frame's box with calipers, layers and outlines of a review. */
export function snapshot(bitmap, box, spacing, review) {
  const { x, y } = aspect(spacing);
  const k = WIDTH / ((box[3] - box[1] + 1) * x);
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = Math.round((box[2] - box[0] + 1) * y * k);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The frame with what was drawn");
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const at = ([r, c]) => [(c - box[1] + 0.5) * x * k, (r - box[0] + 0.5) * y * k];
  const line = (points, colour, closed) => {
    context.beginPath();
    points.forEach((point, i) => (i ? context.lineTo(...at(point)) : context.moveTo(...at(point))));
    if (closed) context.closePath();
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.stroke();
  };
  for (const contour of review.contours ?? []) line(contour, "#62c6f2", true);
  for (const contour of review.fluid ?? []) line(contour, "#9fe8e0", true);
  for (const pair of review.layers ?? (review.calipers ? [review.calipers] : [])) {
    line(pair, "#ffd640", false);
    for (const end of pair) {
      const [px, py] = at(end);
      context.fillStyle = "#ffd640";
      context.fillRect(px - 6, py - 1, 12, 2);
      context.fillRect(px - 1, py - 6, 2, 12);
    }
  }
  return canvas;
}
