"use strict";
// What every page of ours draws with: numbers, elements, layouts, candles with their trades.

const byId = (id) => document.getElementById(id);
const phone = window.matchMedia("(max-width: 760px)").matches;
const touch = window.matchMedia("(pointer: coarse)").matches;


// Okabe and Ito's colours, told apart by nearly everyone; what one has to beat is grey.
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9"];
const BOUGHT = "#0b5cad", SOLD = "#d9480f", GRID = "#e8ebf0", SOFT = "#5d6678";


const whole = (value) => Math.round(value).toLocaleString("en-US");
const signed = (value) => (Math.round(value) > 0 ? "+" : "") + whole(value).replace("-", "−");
const percent = (share) => (share * 100).toFixed(1) + " %";
const title = (name) => name.replaceAll("_", " ");

function element(tag, parent, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function toned(node, value) {
  if (Math.round(value) !== 0) node.classList.add(value > 0 ? "gain" : "loss");
}

const dates = (chart) => Math.max(3, Math.floor(chart.clientWidth / 95)); // that fit below a chart

const plotOptions = { displayModeBar: false, responsive: true };

function layout(height, more) {
  return {
    height, margin: { l: 56, r: 12, t: 6, b: 30 }, hovermode: "x unified", dragmode: touch ? false : "zoom",
    showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 12, color: SOFT },
    hoverlabel: { bgcolor: "#fff", bordercolor: GRID, font: { size: 12, color: "#1b2230" }, namelength: -1 },
    ...more,
  };
}

// --- candles ---------------------------------------------------------------------------------------------------

const CANDLES_FIT = 300; // more than these are drawn as a line of closes

function markers(fills, prices, from, to, action) {
  const chosen = fills.filter((fill) => fill.action === action && fill.bar >= from && fill.bar < to);
  const bought = action === "BUY";
  const span = Math.max(...prices.high.slice(from, to)) - Math.min(...prices.low.slice(from, to));
  return {
    type: "scatter", mode: "markers", name: bought ? "bought" : "sold",
    x: chosen.map((fill) => prices.date[fill.bar]),
    y: chosen.map((fill) => (bought ? prices.low[fill.bar] - span * 0.03 : prices.high[fill.bar] + span * 0.03)),
    text: chosen.map((fill) => `${fill.quantity.toLocaleString("en-US")} at ${fill.price.toFixed(2)}`),
    hovertemplate: "%{text}",
    marker: { symbol: bought ? "triangle-up" : "triangle-down", size: 11, color: bought ? BOUGHT : SOLD,
              line: { width: 1, color: "#fff" } },
  };
}

function priceTrace(prices, from, to) {
  const part = (name) => prices[name].slice(from, to);
  if (to - from > CANDLES_FIT) {
    return { type: "scatter", mode: "lines", name: "close", x: part("date"), y: part("close"),
             line: { color: "#8a93a3", width: 1.2 }, hovertemplate: "%{y:.2f}" };
  }
  return {
    type: "candlestick", name: "price", x: part("date"), open: part("open"), high: part("high"), low: part("low"),
    close: part("close"), line: { width: 1 }, increasing: { line: { color: "#8a93a3" }, fillcolor: "#fff" },
    decreasing: { line: { color: "#8a93a3" }, fillcolor: "#8a93a3" },
  };
}
