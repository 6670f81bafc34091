// Small helpers to build elements: text is always set as text, never as markup.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with properties (`class`, `data-*`, `aria-*` are attributes) and children. */
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** An SVG element; every property is an attribute. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node[key] = value;
    else if (key in node && node.namespaceURI !== SVG && !key.includes("-")) node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name that a file says of itself: text, set apart from the direction of what is around it. */
export const bdi = (text) => el("bdi", {}, String(text));

/** A copy of the icon of an element of the page, so that icons are drawn once, in the template. */
export const iconOf = (element) => element.querySelector(".icon").cloneNode(true);

/** Whether a key press belongs to a field or control and not to the page. */
export function typing(target) {
  return target.closest?.("input:not([type=range]):not([type=radio]), textarea, select") !== null;
}

/** Open a dialog and return a promise of its returnValue; a click on the backdrop closes it. */
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const closing = (event) => {
      const outside = event.target === dialog && event.detail > 0 && !within(event, dialog);
      if (outside || event.target.closest("[data-close]")) dialog.close("");
    };
    dialog.addEventListener("click", closing);
    dialog.addEventListener(
      "close",
      (event) => {
        // The browser tells of it a moment later: whoever has asked again by then waits for the next one.
        event.stopImmediatePropagation();
        dialog.removeEventListener("click", closing);
        resolve(dialog.returnValue);
      },
      { once: true },
    );
  });
}

function within({ clientX, clientY }, element) {
  const box = element.getBoundingClientRect();
  return clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
}
