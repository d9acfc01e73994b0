// The state of the page in its address, so that a link shows what its sender saw.

/** Milliseconds of rest after which the address follows. */
const REST = 150;

const number = (text) =>
  text !== undefined && text !== "" && Number.isFinite(Number(text)) ? Number(text) : null;

/** What the address says now, as text for it. */
export function written({ description, state, map }) {
  const view = map.getView();
  const [x, y] = view.getCenter();
  const fields = new URLSearchParams();
  fields.set(
    "at",
    [x, y, view.getResolution()].map((each) => Number(each.toPrecision(10))).join(","),
  );
  for (const spec of description.layers) {
    const text = layerText(spec, state.layers[spec.id]);
    if (text) fields.set(spec.id, text);
  }
  const { swipe } = state;
  if (swipe.on) fields.set("swipe", [swipe.left, swipe.right, swipe.at.toFixed(3)].join(","));
  if (state.safeColours) fields.set("safe", "1");
  return fields.toString();
}

function layerText(spec, own) {
  const parts = [own.on ? "on" : "off"];
  if (own.opacity !== 1) parts.push(`opacity=${own.opacity}`);
  if (own.bands) {
    parts.push(`bands=${own.bands.join(".")}`);
    parts.push(
      `stretch=${own.stretch
        .flat()
        .map((each) => Number(each.toPrecision(6)))
        .join("~")}`,
    );
  }
  if (own.off) parts.push(`hide=${[...own.off].join("~")}`);
  for (const key of ["from", "to"])
    if (own[key]) parts.push(`${key}=${encodeURIComponent(own[key])}`);
  for (const key of ["faded", "unchanged"]) if (own[key]) parts.push(key);
  return parts.join(";");
}

/** Take over what an address says; what it says wrongly is left as it was. */
export function taken(text, { description, state, map }) {
  const fields = new URLSearchParams(text);
  const at = (fields.get("at") ?? "").split(",").map(number);
  state.change(() => {
    for (const spec of description.layers) {
      if (fields.has(spec.id)) takeLayer(spec, state.layers[spec.id], fields.get(spec.id));
    }
    const [left, right, share] = (fields.get("swipe") ?? "").split(",");
    if ([left, right].every((id) => Object.hasOwn(state.layers, id))) {
      Object.assign(state.swipe, {
        on: true,
        left,
        right,
        at: Math.min(1, Math.max(0, number(share) ?? 0.5)),
      });
    } else if (text) state.swipe.on = false;
    state.safeColours = fields.get("safe") === "1";
  });
  if (at.length !== 3 || at.includes(null) || at[2] <= 0) return false;
  map.getView().setCenter(at.slice(0, 2));
  map.getView().setResolution(at[2]);
  return true;
}

function takeLayer(spec, own, text) {
  const parts = new Map(
    text
      .split(";")
      .map((part) => part.split("="))
      .map(([key, held]) => [key, held]),
  );
  own.on = parts.has("on");
  const opacity = number(parts.get("opacity"));
  if (opacity !== null) own.opacity = Math.min(1, Math.max(0, opacity));
  if (own.bands) {
    const bands = (parts.get("bands") ?? "").split(".").map(number);
    if (
      bands.length === 3 &&
      bands.every((band) => Number.isInteger(band) && band >= 1 && band <= spec.bands.length)
    )
      own.bands = bands;
    const ends = (parts.get("stretch") ?? "").split("~").map(number);
    if (ends.length === 6 && !ends.includes(null))
      own.stretch = [0, 2, 4].map((k) => ends.slice(k, k + 2));
  }
  if (own.off && parts.has("hide"))
    own.off = new Set(
      parts
        .get("hide")
        .split("~")
        .map(number)
        .filter((code) => code !== null),
    );
  if ("from" in own) {
    for (const key of ["from", "to"]) own[key] = known(spec, key, parts.get(key));
  }
  for (const key of ["faded", "unchanged"]) if (key in own) own[key] = parts.has(key);
}

/** A class that the layer's filter offers, or none. */
function known(spec, key, text) {
  let name;
  try {
    name = decodeURIComponent(text ?? "");
  } catch {
    return "";
  }
  const side = key === "from" ? spec.before : spec.after;
  const names = side
    ? side.classes.map((each) => each.name)
    : spec.classes.map((each) => each[key]);
  return names.includes(name) ? name : "";
}

/** Let the address follow the page. */
export function follow(page) {
  let timer = null;
  const later = () => {
    if (page.state.blinking) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      try {
        history.replaceState(null, "", `#${written(page)}`);
      } catch {
        // a page inside a notebook has no address of its own
      }
    }, REST);
  };
  page.map.on("moveend", later);
  page.state.follow(later);
  window.addEventListener("hashchange", () => taken(location.hash.slice(1), page));
}
