// Plays a cine at its own speed; a frame that is not here yet is waited for, none is skipped ahead of.

const FRAME_MS = 67; // where the file does not say

export class Player {
  /** `hooks`: frame() on the screen, frames(), show(k): a promise, changed(playing). */
  constructor(hooks) {
    this.hooks = hooks;
    this.playing = false;
    this.frameMs = FRAME_MS;
  }

  speed(frameMs) {
    this.frameMs = frameMs > 5 && frameMs < 2000 ? frameMs : FRAME_MS;
  }

  toggle() {
    if (this.playing) this.stop();
    else this.start();
  }

  async start() {
    if (this.playing || this.hooks.frames() < 2) return;
    const turn = (this.turn = {});
    this.set(true);
    let due = performance.now();
    while (this.turn === turn) {
      due = Math.max(due + this.frameMs, performance.now());
      const next = (this.hooks.frame() % this.hooks.frames()) + 1;
      await this.hooks.show(next);
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    }
  }

  stop() {
    this.turn = null;
    if (this.playing) this.set(false);
  }

  set(playing) {
    this.playing = playing;
    this.hooks.changed(playing);
  }
}
