// Caliper ends as focusable controls over the picture: Tab selects one, arrows move it.

import { el } from "./dom.js";

export const WAYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const FINE = 0.1; // frame pixels; one pixel with Shift

export class Handles {
  /** `hooks`: moved(pair, end, offset), settled() when the keys rest, focused(pair, end) or null. */
  constructor(element, hooks) {
    this.element = element;
    this.hooks = hooks;
  }

  /** Put the controls on the ends: `pairs` of screen points {x, y}; none where nothing can be moved. */
  place(pairs) {
    const places = pairs.flat();
    while (this.element.children.length > places.length) this.element.lastChild.remove();
    while (this.element.children.length < places.length)
      this.element.append(this.build(this.element.children.length));
    places.forEach(({ x, y }, i) => {
      const button = this.element.children[i];
      button.style.transform = `translate(${x}px, ${y}px)`;
      const layer = pairs.length > 1 ? `layer ${Math.floor(i / 2) + 1}, ` : "";
      const words = `Caliper ${layer}end ${(i % 2) + 1}: arrows move it by a tenth of a pixel, with Shift by one`;
      if (button.getAttribute("aria-label") !== words) button.setAttribute("aria-label", words);
    });
  }

  build(i) {
    const [pair, end] = [Math.floor(i / 2), i % 2];
    return el("button", {
      type: "button",
      onkeydown: (event) => this.key(event, pair, end),
      onkeyup: (event) => event.key in WAYS && this.hooks.settled(),
      onblur: () => this.hooks.settled(),
      onfocus: () => this.hooks.focused(pair, end),
    });
  }

  key(event, pair, end) {
    const way = WAYS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.shiftKey ? 1 : FINE;
    this.hooks.moved(pair, end, [way[0] * step, way[1] * step]);
  }
}
