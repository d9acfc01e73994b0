// Which bands of an image are red, green and blue, and between which values each is stretched.

import { button, element, labelled, select } from "./dom.js";
import { bandsOf, gridExtent, inUnit } from "./description.js";
import { reason } from "./notices.js";
import { percentiles, value } from "./numbers.js";
import { Raster } from "./raster.js";

/** Shares of the pixels in view that are stretched to black and to white. */
const SHARES = [0.02, 0.98];

/** Pixels of the view from which percentiles are taken, at most. */
const PIXELS = 250_000;

/** Combinations that readers of images know, by the names of their bands. */
const COMBINATIONS = [
  ["True colour", ["red", "green", "blue"]],
  ["False colour, vegetation red", ["nir", "red", "green"]],
  ["Short-wave infrared", ["swir1", "nir", "red"]],
  ["Bare ground and water", ["swir2", "swir1", "red"]],
];

/** The combinations that an image has the bands for: name and numbers of bands. */
function combinationsOf(spec) {
  const numbers = new Map(bandsOf(spec).map(([band, name]) => [name.toLowerCase(), band]));
  return COMBINATIONS.map(([name, names]) => [name, names.map((each) => numbers.get(each))]).filter(
    ([, bands]) => bands.every(Boolean),
  );
}

/** A choice of the combinations, or null where the names of the bands give none. */
function combinationControl(page, spec) {
  const own = page.state.layers[spec.id];
  const known = combinationsOf(spec);
  if (!known.length) return null;
  const control = select(
    [["", "other"], ...known.map(([name, bands]) => [bands.join(), name])],
    "",
    async (chosen) => {
      if (!chosen) return;
      page.state.change(() => {
        own.bands = chosen.split(",").map(Number);
      });
      await stretch(page, spec);
    },
    { "aria-label": `Combination of bands: ${spec.title}` },
  );
  page.state.follow(() => {
    const bands = own.bands.join();
    control.value = known.some(([, each]) => each.join() === bands) ? bands : "";
  });
  return labelled("Combination of bands", control);
}

export function imageControls(page, spec) {
  const { state } = page;
  const own = state.layers[spec.id];
  const channels = ["Red", "Green", "Blue"].map((channel, k) => {
    const control = select(
      bandsOf(spec),
      own.bands[k],
      async (chosen) => {
        state.change(() => {
          own.bands[k] = Number(chosen);
        });
        await stretch(page, spec);
      },
      { "aria-label": `${channel}: band of ${spec.title}` },
    );
    const ends = element("span", { class: "note" });
    state.follow(() => {
      control.value = String(own.bands[k]);
      ends.textContent = own.stretch[k]
        .map((end) => value(inUnit(spec, own.bands[k], end)))
        .join(" to ");
    });
    return element("div", {}, labelled(channel, control), ends);
  });
  return element(
    "div",
    { class: "bands" },
    combinationControl(page, spec),
    element("div", { class: "triple" }, ...channels),
    element(
      "div",
      { class: "buttons" },
      button("Stretch to the view", () => stretch(page, spec), {
        title: "Stretches each band between the 2nd and the 98th percentile of what is in view",
      }),
      button("As first shown", () =>
        state.change(() => {
          own.bands = [...spec.rgb];
          own.stretch = spec.stretch.map((pair) => [...pair]);
        }),
      ),
    ),
  );
}

/** Stretch the image's bands by the percentiles of the pixels in view. */
export async function stretch(page, spec) {
  const own = page.state.layers[spec.id];
  try {
    const ends = await viewPercentiles(page, spec, own.bands);
    if (ends)
      page.state.change(() => {
        own.stretch = ends;
      });
    else page.notices.say(`${spec.title} has no valid pixels in view`);
  } catch (error) {
    page.notices.warn(`${spec.title} can't be read: ${reason(error)}`);
  }
}

async function viewPercentiles(page, spec, bands) {
  const raster = await Raster.open(spec);
  const box = gridExtent(spec.grid);
  const view = page.map.getView().calculateExtent(page.map.getSize());
  const share = (low, high, from, to) => [
    Math.max(0, (low - from) / (to - from)),
    Math.min(1, (high - from) / (to - from)),
  ];
  const [left, right] = share(view[0], view[2], box[0], box[2]);
  const [top, bottom] = share(-view[3], -view[1], -box[3], -box[1]);
  if (right <= left || bottom <= top) return null;
  const index = raster.levelWithin((right - left) * (bottom - top), PIXELS);
  const { width, height } = raster.levels[index];
  const window = [
    Math.floor(left * width),
    Math.floor(top * height),
    Math.ceil(right * width),
    Math.ceil(bottom * height),
  ];
  const read = await raster.read(index, window, bands);
  const ends = read.bands.map((band) =>
    percentiles(
      Array.from(band).filter((number, k) => read.valid[k] && Number.isFinite(number)),
      SHARES,
    ),
  );
  return ends.every(Boolean) ? ends : null;
}
