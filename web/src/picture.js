// A picture of the view: the map, its title, the legend of what is shown, and the scale.

import { hasScale, scaleOf } from "./corner.js";
import { rank } from "./description.js";
import { download } from "./dom.js";
import { isShown } from "./layers.js";
import { metresOfPixel } from "./map.js";
import { shownClasses } from "./state.js";
import { coloursOf } from "./styles.js";

const FONT = "system-ui, sans-serif";
const LINE = 20;
const MARGIN = 14;

/** Pixels from a swatch's left edge to the name beside it. */
const INDENT = 22;

export function savePicture(page) {
  page.map.once("rendercomplete", async () => {
    const canvas = drawnView(page);
    canvas.toBlob((blob) => download("map.png", blob), "image/png");
  });
  page.map.render();
}

/** The map, and a column beside it with the legend. */
function drawnView(page) {
  const [width, height] = page.map.getSize();
  const ratio = window.devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const lines = legendLines(page, height);
  const column =
    Math.ceil(
      Math.max(
        ...lines.map(
          ({ text, bold, colour }) => measured(context, text, bold) + (colour ? INDENT : 0),
        ),
      ),
    ) +
    2 * MARGIN;
  canvas.width = Math.round((column + width) * ratio);
  canvas.height = Math.round(height * ratio);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(page.map.getTargetElement()).backgroundColor;
  context.fillRect(column * ratio, 0, width * ratio, canvas.height);
  for (const layer of page.map.getTargetElement().querySelectorAll(".ol-layers canvas")) {
    if (!layer.width) continue;
    const matrix = layer.style.transform.match(/^matrix\(([^(]*)\)$/);
    const [a, b, c, d, e, f] = matrix
      ? matrix[1].split(",").map(Number)
      : [layer.clientWidth / layer.width, 0, 0, layer.clientHeight / layer.height, 0, 0];
    context.globalAlpha = Number(layer.parentNode.style.opacity || layer.style.opacity || 1);
    context.setTransform(
      a * ratio,
      b * ratio,
      c * ratio,
      d * ratio,
      (e + column) * ratio,
      f * ratio,
    );
    context.drawImage(layer, 0, 0);
  }
  context.globalAlpha = 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawLegend(context, lines);
  context.translate(column, 0);
  drawScale(context, page, width, height);
  drawDivider(context, page, width, height);
  return canvas;
}

/** The title, and every layer that is shown with its classes, as many as fit. */
function legendLines({ description, state }, height) {
  const lines = [{ text: description.title, bold: true }];
  const topFirst = description.layers
    .filter((spec) => isShown(spec, state))
    .sort((one, other) => rank(other) - rank(one));
  for (const spec of topFirst) {
    lines.push({ text: spec.title, bold: true });
    if (!spec.classes) continue;
    const colours = coloursOf(spec.classes, state.safeColours);
    const shown = shownClasses(spec, state.layers[spec.id]);
    spec.classes.forEach(
      ({ name }, k) => shown[k] && lines.push({ text: name, colour: colours[k] }),
    );
  }
  const room = Math.floor((height - 2 * MARGIN) / LINE);
  if (lines.length <= room) return lines;
  return [...lines.slice(0, room - 1), { text: `and ${lines.length - room + 1} more` }];
}

function drawLegend(context, lines) {
  lines.forEach(({ text, bold, colour }, k) => {
    const y = MARGIN + k * LINE;
    if (colour) {
      context.fillStyle = colour;
      context.fillRect(MARGIN, y + 3, 14, 14);
      context.strokeStyle = "rgba(0, 0, 0, 0.35)";
      context.strokeRect(MARGIN + 0.5, y + 3.5, 13, 13);
    }
    context.font = `${bold ? 600 : 400} 13px ${FONT}`;
    context.fillStyle = "#1c2024";
    context.fillText(text, MARGIN + (colour ? INDENT : 0), y + 15);
  });
}

function measured(context, text, bold) {
  context.font = `${bold ? 600 : 400} 13px ${FONT}`;
  return context.measureText(text).width;
}

function drawScale(context, { map, description }, width, height) {
  if (!hasScale(description.crs)) return;
  const scale = scaleOf(metresOfPixel(map.getView(), description.crs));
  const right = width - 2 * MARGIN;
  const bottom = height - 2 * MARGIN;
  context.fillStyle = "rgba(255, 255, 255, 0.9)";
  context.fillRect(
    right - scale.pixels - MARGIN,
    bottom - 26,
    scale.pixels + 2 * MARGIN,
    26 + MARGIN,
  );
  context.strokeStyle = "#1c2024";
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(right - scale.pixels, bottom - 5);
  context.lineTo(right - scale.pixels, bottom);
  context.lineTo(right, bottom);
  context.lineTo(right, bottom - 5);
  context.stroke();
  context.font = `13px ${FONT}`;
  context.fillStyle = "#1c2024";
  context.textAlign = "center";
  context.fillText(scale.text, right - scale.pixels / 2, bottom - 9);
  context.textAlign = "left";
}

function drawDivider(context, { state }, width, height) {
  if (!state.swipe.on) return;
  context.fillStyle = "#fff";
  context.fillRect(state.swipe.at * width - 1.5, 0, 3, height);
}
