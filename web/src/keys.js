// Keys of the map, and the list of them.

import { blink, hasDates, nextDate, swipe } from "./compare.js";
import { element } from "./dom.js";
import { toggleDrawing } from "./polygons.js";

const KEYS = [
  ["Arrows, + and −", "move and zoom the map"],
  ["Enter", "values at the cross in the middle of the map"],
  ["1 to 9", "layers on or off, from the top of the list"],
  ["D", "the other date"],
  ["B", "dates in turn"],
  ["S", "divider between two layers; arrows move it"],
  ["P", "draw a polygon; Space sets a corner at the cross, Enter finishes, Escape ends"],
  ["G", "go to a place"],
  ["F", "show everything"],
  ["L", "panel open or closed"],
  ["Escape", "close the values"],
];

export function keyList() {
  const rows = KEYS.map(([keys, text]) =>
    element("div", {}, element("dt", {}, element("kbd", {}, keys)), element("dd", {}, text)),
  );
  return element("dl", { class: "keys" }, ...rows);
}

/** Keys count while the map or nothing has the focus, never while somebody writes. */
export function listen(page) {
  const target = page.map.getTargetElement();
  document.addEventListener(
    "keydown",
    (event) => {
      const onMap = event.target === target || event.target === document.body;
      if (!onMap || event.ctrlKey || event.metaKey || event.altKey) return;
      const action = page.drawing.drawing ? drawingKey(page, event.key) : mapKey(page, event.key);
      if (!action) return;
      event.preventDefault();
      event.stopPropagation();
      action();
    },
    true,
  );
}

function middle({ map }) {
  return map.getView().getCenter();
}

function drawingKey(page, key) {
  return {
    " ": () => page.drawing.corner(middle(page)),
    Enter: () => page.drawing.finish(),
    Backspace: () => page.drawing.removeCorner(),
    Escape: () => page.drawing.stop(),
    p: () => page.drawing.stop(),
  }[key];
}

function mapKey(page, key) {
  const { state, description } = page;
  if (/^[1-9]$/.test(key)) {
    const spec = page.topFirst[Number(key) - 1];
    return spec ? () => page.turn(spec, !state.layers[spec.id].on) : undefined;
  }
  return {
    enter: () => page.card.show(middle(page)),
    escape: () => page.card.close(),
    d: hasDates(page) ? () => nextDate(page) : undefined,
    b: hasDates(page) ? () => blink(page, !state.blinking) : undefined,
    s: description.layers.length > 1 ? () => toggleSwipe(page) : undefined,
    p: () => toggleDrawing(page),
    g: () => page.askPlace(),
    f: () => page.showAll(),
    l: () => page.togglePanel(),
  }[key.toLowerCase()];
}

function toggleSwipe(page) {
  swipe(page, !page.state.swipe.on);
  if (page.state.swipe.on) page.divider.handle.focus();
}
