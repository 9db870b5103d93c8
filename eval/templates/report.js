// Draws the charts, in the colours of the style sheet, and lets the legends hide lines. No request leaves the page.
"use strict";
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const specs = new Map(plots.map((plot) => [plot, plot.dataset.spec]));
  const narrow = matchMedia("(max-width: 640px)");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // "c:blue/0.2" -> the value of --c-blue (or of --blue, for the page's own colours) with that opacity.
  function colour(name) {
    const [key, opacity] = name.slice(2).split("/");
    const styles = getComputedStyle(root);
    const hex = (styles.getPropertyValue(`--c-${key}`) || styles.getPropertyValue(`--${key}`)).trim();
    return opacity ? hex + Math.round(255 * Number(opacity)).toString(16).padStart(2, "0") : hex;
  }

  function coloured(key, value) {
    const isText = ["name", "meta", "text", "hovertemplate"].includes(key); // an arm may well be called "c:blue"
    return !isText && typeof value === "string" && value.startsWith("c:") ? colour(value) : value;
  }

  function draw(plot) {
    const { data, layout, log } = JSON.parse(specs.get(plot), coloured);
    const hidden = [...plot.closest(".group").querySelectorAll('[aria-pressed="false"]')].map((key) => key.dataset.meta);
    for (const trace of data) trace.visible = !hidden.includes(trace.meta);
    if (log && root.dataset.axis === "log") Object.assign(layout.xaxis, log);
    if (narrow.matches) layout.font.size = 12;
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true });
  }

  // What a closed <details> hides has no width to be drawn in; it is drawn when it is opened.
  const isShown = (plot) => !plot.closest("details:not([open])");
  const drawAll = () => Promise.all(plots.filter(isShown).map(draw));
  for (const query of [narrow, dark]) query.addEventListener("change", drawAll);

  for (const key of document.querySelectorAll(".legend button")) {
    key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") === "false");
      key.closest(".group").querySelectorAll(".plot").forEach(draw);
    });
  }

  for (const fold of document.querySelectorAll("details")) {
    fold.addEventListener("toggle", () => {
      if (fold.open) [...fold.querySelectorAll(".plot")].filter(isShown).forEach(draw);
    });
  }

  // One switch for all charts over training steps, wherever it is pressed: they are read side by side.
  const switches = [...document.querySelectorAll("button[data-axis]")];
  for (const key of switches) {
    key.addEventListener("click", () => {
      root.dataset.axis = root.dataset.axis === key.dataset.axis ? "" : key.dataset.axis;
      for (const each of switches) each.setAttribute("aria-pressed", root.dataset.axis === each.dataset.axis);
      drawAll();
    });
  }

  drawAll().then(() => { root.dataset.drawn = "true"; });
})();
