"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const passage = document.getElementById("passage");
const details = document.getElementById("details");
let chosen = -1;

// Positions of stretches count characters, as code points.
const begins = [];
data.tokens.reduce((sum, text) => (begins.push(sum), sum + [...text].length), 0);
const stretches = data.copied === null ? [] : data.copied.stretches;
const isCopied = (place) => stretches.some((each) => each.begin <= begins[place] && begins[place] < each.end);

const spans = data.tokens.map((text, place) => {
  const span = document.createElement("span");
  span.textContent = text || "\n"; // the end of a document
  span.dataset.place = place;
  if (isCopied(place)) span.classList.add("copied");
  passage.append(span);
  return span;
});

const visible = (text) => (text === "" ? "the end" : text.replace(/\n/g, "⏎").replace(/^ +| +$/g, (s) => "␣".repeat(s.length)));

// The strength of each token's colour, from -1 to 1: the warm colour above 0, the cool one below.
let strength = (place) => Math.min(1, data.bits[place] / 10);
let valueInWords = () => "";

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
  const cost = `“${visible(data.tokens[place])}” cost ${data.bits[place].toFixed(2)} bits`;
  title.textContent = `${cost}${valueInWords(place)}. The model expected:`;
  const table = document.createElement("table");
  for (const [text, chance] of data.alternatives[place]) {
    const row = table.insertRow();
    cell(row, visible(text), "th");
    cell(row, `${(100 * chance).toFixed(1)} %`, "td");
  }
  details.append(title, table);
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
paint();
