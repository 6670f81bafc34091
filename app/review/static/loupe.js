// A magnifier beside the picture while a point is moved: what lies under the finger, enlarged.

const ZOOM = 3;

export class Loupe {
  constructor(canvas, stage) {
    this.canvas = canvas;
    this.stage = stage;
  }

  /** Show the surroundings of a frame point, in the corner away from it. */
  show(point) {
    const { canvas, stage } = this;
    const bitmap = stage.picture.image();
    if (!bitmap) return;
    const context = canvas.getContext("2d");
    const size = canvas.width;
    const pixel = window.devicePixelRatio || 1;
    const at = stage.toScreen(point);
    const k = (ZOOM * size) / canvas.clientWidth || ZOOM * pixel;
    context.fillStyle = "#000";
    context.fillRect(0, 0, size, size);
    const { x, y } = stage.picture.position();
    const place = [size / 2 - (at.x - x) * k, size / 2 - (at.y - y) * k];
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, ...place, stage.picture.width() * k, stage.picture.height() * k);
    context.strokeStyle = "#ffd640";
    context.lineWidth = 2;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(size / 2 + dx * 10, size / 2 + dy * 10);
      context.lineTo(size / 2 + dx * 44, size / 2 + dy * 44);
    }
    context.stroke();
    const left = at.x > stage.konva.width() / 2 || at.y > 240;
    canvas.classList.toggle("top-left", left);
    canvas.classList.toggle("top-right", !left);
    canvas.style.filter = stage.filter;
    canvas.hidden = false;
  }

  hide() {
    this.canvas.hidden = true;
  }
}
