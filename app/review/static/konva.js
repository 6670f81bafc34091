// The vendored library as a module; it is loaded by a script element of the page before any module.
export const { Konva } = globalThis;
