// How the graphics card colours the values of tiles.

const CLEAR = [0, 0, 0, 0];

/** Viridis, which every reader can follow, colour-blind or not. */
export const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];

/** Colours that colour-blind readers can tell apart (Okabe and Ito, 2008). */
const SAFE = [
  "#e69f00",
  "#56b4e9",
  "#009e73",
  "#f0e442",
  "#0072b2",
  "#d55e00",
  "#cc79a7",
  "#000000",
];
const SAFE_UNCHANGED = "#bdbdbd";

/**
 * The colours of classes: as the map states them, or for colour-blind readers. Where there are more
 * changes than such colours, those that end in one class share one.
 */
export function coloursOf(classes, safe) {
  if (!safe) return classes.map(({ colour }) => colour);
  const changes = classes.filter(({ stays }) => !stays);
  const keyOf = changes.length > SAFE.length ? ({ name, to }) => to ?? name : ({ name }) => name;
  const keys = [...new Set(changes.map(keyOf))];
  return classes.map((known) =>
    known.stays ? SAFE_UNCHANGED : SAFE[keys.indexOf(keyOf(known)) % SAFE.length],
  );
}

/** Three bands, each stretched between two values; the fourth says where there is data. */
export function imageStyle(stretch, isByte) {
  const stretched = [1, 2, 3].map((band) => [
    "clamp",
    [
      "/",
      ["-", ["band", band], ["var", `low${band}`]],
      ["-", ["var", `high${band}`], ["var", `low${band}`]],
    ],
    0,
    1,
  ]);
  return {
    color: ["array", ...stretched, ["band", 4]],
    variables: stretchVariables(stretch, isByte),
  };
}

/** `stretch` in the units of the textures: bytes reach the card as shares of 255. */
function stretchVariables(stretch, isByte) {
  const unit = isByte ? 255 : 1;
  const variables = {};
  stretch.forEach(([low, high], k) => {
    variables[`low${k + 1}`] = low / unit;
    variables[`high${k + 1}`] = (high > low ? high : low + 1) / unit;
  });
  return variables;
}

/**
 * Classes by their place in the legend, 0 for none, in the first band.
 * @param {string[]} colours One for each class.
 * @param {boolean[]} shown Which classes are shown.
 * @param {boolean} faded Whether the second band, from 0 to 1, is how opaque a pixel is.
 */
export function classStyle(colours, shown, faded) {
  const solid = palette(["band", 1], colours, shown);
  if (!faded) return { color: solid };
  const clear = palette(
    ["band", 1],
    colours,
    shown.map(() => false),
  );
  return { color: ["interpolate", ["linear"], ["band", 2], 0, clear, 1, solid] };
}

/**
 * Two class maps: the class before in the first band, the class after in the second, whose colour counts.
 * @param {number} from Place of the only class before that is shown, 0 for all.
 * @param {boolean} unchanged Whether pixels of one class at both dates are shown.
 */
export function pairStyle(colours, shown, from, unchanged) {
  const conditions = [[">", ["band", 1], 0]];
  if (from) conditions.push(["==", ["round", ["*", ["band", 1], 255]], from]);
  if (!unchanged) conditions.push(["!=", ["band", 1], ["band", 2]]);
  const condition = conditions.length > 1 ? ["all", ...conditions] : conditions[0];
  return { color: ["case", condition, palette(["band", 2], colours, shown), CLEAR] };
}

/** Values from `low` to `high` by the ramp; the second band says where there is data. */
export function valueStyle([low, high]) {
  const step = (high > low ? high - low : 1) / (RAMP.length - 1);
  const stops = RAMP.flatMap((colour, k) => [low + k * step, colour]);
  return {
    color: [
      "case",
      [">", ["band", 2], 0],
      ["interpolate", ["linear"], ["band", 1], ...stops],
      CLEAR,
    ],
  };
}

/** Colours by a place that reaches the card as a share of 255. */
function palette(band, colours, shown) {
  const entries = colours.map((colour, k) => [...rgb(colour), shown[k] ? 1 : 0]);
  return ["palette", ["round", ["*", band, 255]], [CLEAR, ...entries]];
}

export function rgb(colour) {
  const whole =
    colour.length === 4
      ? [...colour.slice(1)].map((digit) => digit + digit).join("")
      : colour.slice(1, 7);
  return [0, 2, 4].map((k) => Number.parseInt(whole.slice(k, k + 2), 16));
}
