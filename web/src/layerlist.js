// The list of layers: each on or off, how opaque, and what else its kind can do.

import { imageControls } from "./bands.js";
import { element, freshId, iconButton, labelled } from "./dom.js";
import { rank } from "./description.js";
import { filterControls, legend, rampLegend, vectorLegend } from "./legend.js";

const ARROW = ["M6 9l6 6 6-6"];

export function layerList(page) {
  const { description } = page;
  const topFirst = [...description.layers].sort((one, other) => rank(other) - rank(one));
  const open = topFirst.find(({ kind, id }) => kind === "classes" && page.state.layers[id].on);
  return element(
    "ul",
    { class: "layers" },
    ...topFirst.map((spec) => row(page, spec, spec === open)),
  );
}

function row(page, spec, open) {
  const { state } = page;
  const own = state.layers[spec.id];
  const settings = element(
    "div",
    { class: "settings", id: freshId(), hidden: !open },
    ...controls(page, spec),
  );
  const check = element("input", {
    type: "checkbox",
    on: { change: () => page.turn(spec, check.checked) },
  });
  const more = iconButton(ARROW, `Settings and legend of ${spec.title}`, () => {
    settings.hidden = !settings.hidden;
    more.setAttribute("aria-expanded", String(!settings.hidden));
  });
  more.setAttribute("aria-expanded", String(open));
  more.setAttribute("aria-controls", settings.id);
  more.classList.add("arrow");
  state.follow(() => {
    check.checked = own.on;
  });
  return element(
    "li",
    { class: "layer", "data-layer": spec.id },
    element(
      "div",
      { class: "layer-row" },
      element("label", {}, check, element("span", {}, spec.title)),
      more,
    ),
    settings,
  );
}

function controls(page, spec) {
  const kinds = {
    image: () => [imageControls(page, spec)],
    classes: () => [filterControls(page, spec), legend(page, spec)],
    pair: () => [filterControls(page, spec), legend(page, spec)],
    values: () => [rampLegend(spec)],
    polygons: () => [vectorLegend(spec)],
    points: () => [vectorLegend(spec)],
  };
  const note = spec.note ? element("p", { class: "note" }, spec.note) : null;
  return [opacity(page, spec), ...kinds[spec.kind](), note].filter(Boolean);
}

function opacity({ state }, spec) {
  const own = state.layers[spec.id];
  const range = element("input", {
    type: "range",
    min: "0",
    max: "100",
    step: "5",
    "aria-label": `Opacity of ${spec.title}`,
    on: {
      input: () =>
        state.change(() => {
          own.opacity = range.valueAsNumber / 100;
        }),
    },
  });
  state.follow(() => {
    range.value = String(Math.round(100 * own.opacity));
    range.setAttribute("aria-valuetext", `${range.value} percent`);
  });
  return labelled("Opacity", range);
}
