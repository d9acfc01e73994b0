// Legends: a switch for each class, the filter from-to, and estimated areas beside the names.

import { button, element, labelled, select, swatch } from "./dom.js";
import { hectares, value } from "./numbers.js";
import { shownClasses } from "./state.js";
import { coloursOf, RAMP } from "./styles.js";

const ANY = ["", "any class"];

/** The classes of a layer, each with its switch. */
export function legend(page, spec) {
  const { state, description } = page;
  const own = state.layers[spec.id];
  const estimates = spec.role === "change" ? description.estimates : null;
  const rows = spec.classes.map((known) => {
    const check = element("input", {
      type: "checkbox",
      on: {
        change: () =>
          state.change(() => {
            if (check.checked) own.off.delete(known.value);
            else own.off.add(known.value);
          }),
      },
    });
    const colour = swatch(known.colour);
    const line = element(
      "li",
      {},
      element("label", {}, check, colour, element("span", { class: "class-name" }, known.name)),
      estimateOf(estimates, known.name),
    );
    return { check, colour, line, known };
  });
  state.follow(() => {
    const colours = coloursOf(spec.classes, state.safeColours);
    const shown = shownClasses(spec, own);
    rows.forEach(({ check, colour, line, known }, k) => {
      check.checked = !own.off.has(known.value);
      colour.style.backgroundColor = colours[k];
      line.classList.toggle("filtered", !shown[k]);
    });
  });
  const level = estimates?.[0]?.level;
  return element(
    "div",
    {},
    estimates
      ? element(
          "p",
          { class: "note" },
          `Estimated hectares${level ? `, and their ${Math.round(100 * level)} % intervals` : ""}`,
        )
      : null,
    element(
      "ul",
      { class: "legend", "aria-label": `Classes of ${spec.title}` },
      ...rows.map(({ line }) => line),
    ),
  );
}

function estimateOf(estimates, name) {
  const row = estimates?.find((estimate) => estimate.class === name);
  if (!row) return null;
  const known =
    Number.isFinite(row.low) && Number.isFinite(row.high) && row.low !== null && row.high !== null;
  return element(
    "span",
    { class: "estimate" },
    hectares(row.hectares),
    known
      ? element("span", { class: "interval" }, `${hectares(row.low)} to ${hectares(row.high)}`)
      : null,
  );
}

/** Which classes are shown: all, none, or those from one class to another; and how sure the map is. */
export function filterControls(page, spec) {
  const { state } = page;
  const own = state.layers[spec.id];
  const parts = [];
  const [from, to] = sides(spec);
  if (from.length && to.length) {
    const choose = (key) => (chosen) =>
      state.change(() => {
        own[key] = chosen;
      });
    const selects = [
      ["From", "from", from],
      ["To", "to", to],
    ].map(([text, key, names]) => {
      const control = select([ANY, ...names.map((name) => [name, name])], own[key], choose(key), {
        "aria-label": `${text}: ${spec.title}`,
      });
      state.follow(() => {
        control.value = own[key];
      });
      return labelled(text, control);
    });
    parts.push(element("div", { class: "pair" }, ...selects));
  }
  if (spec.kind === "pair") {
    parts.push(
      toggle(
        state,
        "Pixels that kept their class",
        () => own.unchanged,
        (on) => {
          own.unchanged = on;
        },
      ),
    );
  }
  if (spec.kind === "classes" && page.canFade(spec)) {
    parts.push(
      toggle(
        state,
        "Confidence as opacity",
        () => own.faded,
        (on) => {
          own.faded = on;
        },
      ),
    );
  }
  const every = (off) => () =>
    state.change(() => {
      own.off = new Set(off ? spec.classes.map(({ value: code }) => code) : []);
    });
  parts.push(
    element(
      "div",
      { class: "buttons" },
      button("All classes", every(false), { "aria-label": `All classes of ${spec.title}` }),
      button("None", every(true), { "aria-label": `None of the classes of ${spec.title}` }),
    ),
  );
  return element("div", { class: "filter" }, ...parts);
}

/** The classes before and after that the filter offers. */
function sides(spec) {
  if (spec.kind === "pair") {
    return [spec.before, spec.after].map(({ classes }) => classes.map(({ name }) => name));
  }
  return ["from", "to"].map((key) => [
    ...new Set(spec.classes.map((known) => known[key]).filter(Boolean)),
  ]);
}

/** A checkbox that follows the state. */
export function toggle(state, text, get, set) {
  const check = element("input", {
    type: "checkbox",
    on: { change: () => state.change(() => set(check.checked)) },
  });
  state.follow(() => {
    check.checked = get();
  });
  return element("label", { class: "toggle" }, check, element("span", {}, text));
}

/** The ramp of a layer of values. */
export function rampLegend(spec) {
  const bar = element("div", { class: "ramp", "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
  const [low, high] = spec.range;
  return element(
    "div",
    {},
    bar,
    element(
      "div",
      { class: "ends" },
      element("span", {}, value(low)),
      element("span", {}, value(high)),
    ),
  );
}

/** The colours of polygons or points. */
export function vectorLegend(spec) {
  const colours = Object.entries(spec.colours ?? {});
  const count = spec.features ? `${spec.features.toLocaleString("en")} ${spec.kind}` : "";
  return element(
    "div",
    {},
    count ? element("p", { class: "note" }, count) : null,
    element(
      "ul",
      { class: "legend" },
      ...colours.map(([name, colour]) =>
        element(
          "li",
          {},
          element(
            "span",
            { class: "entry" },
            swatch(colour),
            element("span", { class: "class-name" }, name),
          ),
        ),
      ),
    ),
  );
}
