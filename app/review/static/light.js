// Brightness and contrast of the picture; kept for the next clips.

import { $ } from "./dom.js";
import { keepLight, keptLight } from "./drafts.js";

const NAMES = ["brightness", "contrast"];
const PLAIN = { brightness: 100, contrast: 100 };

export class Light {
  constructor(stage) {
    this.stage = stage;
    this.now = { ...PLAIN, ...keptLight() };
    for (const name of NAMES)
      $(name).addEventListener("input", () => this.set({ [name]: Number($(name).value) }));
    $("light-reset").addEventListener("click", () => this.set(PLAIN));
    this.set({});
  }

  set(patch) {
    this.now = { ...this.now, ...patch };
    for (const name of NAMES) {
      const input = $(name);
      this.now[name] = Math.min(Math.max(this.now[name], Number(input.min)), Number(input.max));
      input.value = this.now[name];
      $(`${name}-out`).textContent = `${this.now[name]}\u00a0%`;
    }
    this.stage.light(this.now.brightness, this.now.contrast);
    keepLight(this.now);
  }

  step(name, by) {
    this.set({ [name]: this.now[name] + by });
  }

  reset() {
    this.set(PLAIN);
  }
}
