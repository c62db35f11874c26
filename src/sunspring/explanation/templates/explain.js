// Extends passage.js: the text can also be coloured by gates and units.
const outputs = Int8Array.from(atob(data.outputs), (c) => c.charCodeAt(0));
const colour = document.getElementById("colour");
const layer = document.getElementById("layer");
const unit = document.getElementById("unit");
const bySurprisal = strength;

function unitPlace() {
  return Number(layer.value) * data.hidden_size + Number(unit.value);
}

strength = (place) => {
  if (colour.value === "surprisal") return bySurprisal(place);
  if (colour.value === "unit") return outputs[unitPlace() * data.shown + place] / 127;
  return data.gates[Number(colour.value.split(" ")[1])].openness[place];
};
valueInWords = (place) => (colour.value === "surprisal" ? "" : `, coloured by ${strength(place).toFixed(2)}`);

function chooseUnit(layerValue, unitValue) {
  layer.value = layerValue;
  unit.value = unitValue;
  colour.value = "unit";
  paint();
}

colour.addEventListener("change", paint);
for (const input of [layer, unit]) input.addEventListener("input", () => chooseUnit(layer.value, unit.value));
for (const button of document.querySelectorAll("button.feature")) {
  button.addEventListener("click", () => {
    chooseUnit(button.dataset.layer, button.dataset.unit);
    passage.scrollIntoView({ block: "nearest" });
  });
}
