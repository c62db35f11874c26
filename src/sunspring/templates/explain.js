"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const outputs = Int8Array.from(atob(data.outputs), (c) => c.charCodeAt(0));
const passage = document.getElementById("passage");
const details = document.getElementById("details");
const colour = document.getElementById("colour");
const layer = document.getElementById("layer");
const unit = document.getElementById("unit");
let chosen = -1;

// Stretches are counted in characters, as code points.
const begins = [];
data.tokens.reduce((sum, text) => (begins.push(sum), sum + [...text].length), 0);
const stretches = data.copied === null ? [] : data.copied.stretches;
const isCopied = (place) => stretches.some((each) => each.begin <= begins[place] && begins[place] < each.end);

const spans = data.tokens.map((text, place) => {
  const span = document.createElement("span");
  span.textContent = text;
  span.dataset.place = place;
  if (isCopied(place)) span.classList.add("copied");
  passage.append(span);
  return span;
});

const visible = (text) => (text === "" ? "the end" : text.replace(/\n/g, "⏎").replace(/^ +| +$/g, (s) => "␣".repeat(s.length)));

function unitPlace() {
  return Number(layer.value) * data.hidden_size + Number(unit.value);
}

// From -1 to 1: above 0 in the warm colour, below in the cool one.
function strength(place) {
  if (colour.value === "unit") return outputs[unitPlace() * data.shown + place] / 127;
  if (colour.value === "surprisal") return Math.min(1, data.bits[place] / 10);
  return data.gates[Number(colour.value.split(" ")[1])].openness[place];
}

function paint() {
  spans.forEach((span, place) => {
    const value = strength(place);
    const tone = value < 0 ? "--cool" : "--mark";
    span.style.background = `rgb(var(${tone}) / ${(0.75 * Math.abs(value)).toFixed(3)})`;
  });
  if (chosen >= 0) choose(chosen);
}

function cell(row, text, kind) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (kind === "td") made.className = "number";
  row.append(made);
  return made;
}

function choose(place) {
  if (chosen >= 0) spans[chosen].classList.remove("chosen");
  chosen = place;
  spans[place].classList.add("chosen");
  details.replaceChildren();
  const title = document.createElement("div");
  const value = colour.value === "surprisal" ? "" : `, coloured by ${strength(place).toFixed(2)}`;
  title.textContent = `“${visible(data.tokens[place])}” cost ${data.bits[place].toFixed(2)} bits${value}. The model expected:`;
  const table = document.createElement("table");
  for (const [text, chance] of data.alternatives[place]) {
    const row = table.insertRow();
    cell(row, visible(text), "th");
    cell(row, `${(100 * chance).toFixed(1)} %`, "td");
  }
  details.append(title, table);
}

function chooseUnit(layerValue, unitValue) {
  layer.value = layerValue;
  unit.value = unitValue;
  colour.value = "unit";
  paint();
}

passage.addEventListener("pointerover", (event) => {
  if (event.target.dataset.place) choose(Number(event.target.dataset.place));
});
passage.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 20, ArrowUp: -20 }[event.key];
  if (!step || !spans.length) return;
  event.preventDefault();
  choose(Math.max(0, Math.min(spans.length - 1, chosen + step)));
  spans[chosen].scrollIntoView({ block: "nearest" });
});
colour.addEventListener("change", paint);
for (const input of [layer, unit]) input.addEventListener("input", () => chooseUnit(layer.value, unit.value));
for (const button of document.querySelectorAll("button.feature")) {
  button.addEventListener("click", () => {
    chooseUnit(button.dataset.layer, button.dataset.unit);
    passage.scrollIntoView({ block: "nearest" });
  });
}
paint();
