// Going to a place, and taking the view elsewhere: a link, a picture.

import { button, element, labelled, select } from "./dom.js";
import { placeFrom } from "./lonlat.js";
import { written } from "./permalink.js";
import { savePicture } from "./picture.js";

export function placeSection(page) {
  return [goTo(page), share(page)];
}

function goTo(page) {
  const { description, ways } = page;
  const input = element("input", {
    type: "text",
    inputmode: "text",
    autocomplete: "off",
    spellcheck: "false",
    class: "go-to",
    placeholder: "two numbers",
  });
  const orders = [["crs", `x, y in ${description.crs.name}`]];
  if (ways) orders.push(["degrees", "latitude, longitude"]);
  const order = select(orders, orders.at(-1)[0], () => {}, { "aria-label": "Kind of coordinates" });
  const wrong = element("p", { class: "warning", role: "alert", hidden: true });
  const go = () => {
    const place = placeFrom(input.value, order.value, ways);
    if (!place) wrong.textContent = `Two numbers are needed, got ${input.value || "nothing"}`;
    else if (outside(place, description.extent))
      wrong.textContent = "That place lies outside the map";
    wrong.hidden = Boolean(place) && !outside(place, description.extent);
    if (wrong.hidden) page.goTo(place);
  };
  // no form: frames of notebooks may send none
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go();
  });
  return element(
    "div",
    {},
    labelled("Go to", input),
    element("div", { class: "row" }, order, button("Go", go, { class: "main" })),
    wrong,
  );
}

function outside([x, y], [left, bottom, right, top]) {
  return x < left || x > right || y < bottom || y > top;
}

function share(page) {
  const link = element("input", {
    type: "text",
    readonly: true,
    class: "link",
    hidden: true,
    "aria-label": "Link to this view",
  });
  const copy = button("Copy link to this view", async () => {
    const address = `${location.href.split("#")[0]}#${written(page)}`;
    try {
      await navigator.clipboard.writeText(address);
      page.notices.say("The link is copied");
    } catch {
      // without the right to the clipboard, the link is there to be copied
      link.hidden = false;
      link.value = address;
      link.select();
    }
  });
  return element(
    "div",
    {},
    element(
      "div",
      { class: "buttons" },
      page.description.isInside ? null : copy, // a page inside a notebook has no address
      button("Save picture", () => savePicture(page)),
    ),
    link,
  );
}
