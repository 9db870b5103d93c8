// Draws the charts, in the colours of the style sheet, and lets the legends hide lines. No request leaves the page.
"use strict";
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const specs = new Map(plots.map((plot) => [plot, plot.dataset.spec]));
  const narrow = matchMedia("(max-width: 640px)");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // "c:blue/0.2" -> the value of --c-blue (or of --blue, for the page's own colours) with that opacity.
  function colour(name) {
    const [key, opacity] = name.slice(2).split("/");
    const styles = getComputedStyle(document.documentElement);
    const hex = (styles.getPropertyValue(`--c-${key}`) || styles.getPropertyValue(`--${key}`)).trim();
    return opacity ? hex + Math.round(255 * Number(opacity)).toString(16).padStart(2, "0") : hex;
  }

  function coloured(key, value) {
    const isText = ["name", "meta", "text", "hovertemplate"].includes(key); // an arm may well be called "c:blue"
    return !isText && typeof value === "string" && value.startsWith("c:") ? colour(value) : value;
  }

  function draw(plot) {
    const { data, layout } = JSON.parse(specs.get(plot), coloured);
    const hidden = [...plot.closest(".group").querySelectorAll('[aria-pressed="false"]')].map((key) => key.dataset.meta);
    for (const trace of data) trace.visible = !hidden.includes(trace.meta);
    if (narrow.matches) layout.font.size = 12;
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true });
  }

  const drawAll = () => Promise.all(plots.map(draw));
  for (const query of [narrow, dark]) query.addEventListener("change", drawAll);

  for (const key of document.querySelectorAll(".legend button")) {
    key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") === "false");
      key.closest(".group").querySelectorAll(".plot").forEach(draw);
    });
  }

  drawAll().then(() => { document.documentElement.dataset.drawn = "true"; });
})();
