// Pictures of frames: fetched, decoded, kept for a while, and fetched ahead.

const ROOM = 160; // decoded pictures that are kept; a frame of 640 x 510 takes 1.3 MB

export class Frames {
  constructor() {
    this.kept = new Map(); // insertion order is age
  }

  /** The decoded picture of frame `k` of clip `id`: a promise of an ImageBitmap. */
  get(id, k) {
    const key = `${id}/${k}`;
    let picture = this.kept.get(key);
    if (picture) this.kept.delete(key);
    else {
      picture = load(key);
      picture.catch(() => this.kept.delete(key));
    }
    this.kept.set(key, picture);
    this.tidy();
    return picture;
  }

  has(id, k) {
    return this.kept.has(`${id}/${k}`);
  }

  /** Fetch the frames of a cine, the nearest to `k` first, a few at a time. */
  async ahead(id, k, n, wanted) {
    const order = Array.from({ length: n }, (_, i) => i + 1).sort(
      (a, b) => Math.abs(a - k) - Math.abs(b - k),
    );
    for (const at of order.slice(0, ROOM - 20)) {
      if (!wanted()) return;
      await this.get(id, at).catch(() => null);
    }
  }

  tidy() {
    while (this.kept.size > ROOM) {
      const [key, picture] = this.kept.entries().next().value;
      this.kept.delete(key);
      picture.then((bitmap) => setTimeout(() => bitmap.close(), 2000), () => null);
    }
  }
}

async function load(key) {
  const response = await fetch(`/frames/${key}.png`, { credentials: "same-origin" });
  if (!response.ok) throw new Error("The picture could not be loaded.");
  return createImageBitmap(await response.blob());
}
