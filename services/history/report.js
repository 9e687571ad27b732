"use strict";
// The page around the data of one backtest: tiles, equity, candles with trades, months, the sweep, the table.

const data = JSON.parse(document.getElementById("data").textContent);
const symbols = Object.keys(data.prices);
const judged = data.statistics;
const LINE = { width: 1.6 };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const none = (value) => value === null || value === undefined;
const fixed = (value, digits = 2) => (none(value) ? "–" : value.toFixed(digits).replace("-", "−"));
const share = (value) => (none(value) ? "–" : (value * 100).toFixed(Math.abs(value) < 0.0995 ? 2 : 1).replace("-", "−") + " %");
const gain = (value) => (value > 0 ? "+" : "") + share(value);
const units = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 6 });
const money = (value) => value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).replace("-", "−");
const heading = (name) => title(name).replace(/^./, (first) => first.toUpperCase());
const quick = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.0095 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`);
const price = (value) => value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 });

function tinted(node, value) {
  if (value) node.classList.add(value > 0 ? "gain" : "loss");
  return node;
}

function lasted(seconds) {
  if (none(seconds)) return "–";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(0)} days`;
}

// --- what came of it -------------------------------------------------------------------------------------------

function showSummary() {
  document.title = `${title(data.strategy)}: backtest`;
  byId("name").textContent = `${title(data.strategy)} on ${symbols.length > 4 ? symbols.length + " symbols" : symbols.join(", ")}`;
  byId("lede").textContent =
    `${whole(data.bars)} ${data.timeframe} bars, ${data.first} to ${data.last}: ${whole(data.cash)} became ` +
    `${whole(judged.final_equity)}, with ${whole(data.signals)} signals and ${whole(data.fills_count)} fills.`;
  const tiles = [
    [gain(judged.total_return), "return", judged.total_return], [none(judged.cagr) ? "–" : gain(judged.cagr), "a year", judged.cagr],
    [fixed(judged.sharpe_ratio), "Sharpe ratio"], [fixed(judged.sortino_ratio), "Sortino ratio"],
    [share(judged.max_drawdown), "deepest drawdown", judged.max_drawdown], [share(judged.exposure_time), "time in the market"],
    [whole(judged.trades), "round trips"], [share(judged.win_rate), "of them won"],
    [fixed(judged.profit_factor), "profit factor"], [lasted(judged.avg_trade_duration), "held on average"],
    [whole(data.rejected), "signals refused"], [quick(data.seconds), "took"],
  ];
  for (const [value, name, tone] of tiles) {
    const tile = element("div", byId("tiles"), undefined, { className: "tile" });
    tinted(element("b", tile, value), tone);
    element("span", tile, name);
  }
  for (const text of data.warnings) element("li", byId("warnings"), text, { className: "failed" });
  for (const [name, value] of data.facts) {
    element("dt", byId("facts"), name);
    element("dd", byId("facts"), value);
  }
  byId("made").textContent = `Made on ${data.made}. This page loads nothing from the network.`;
}

// --- equity ----------------------------------------------------------------------------------------------------

function timeAxis(chart) {
  return { gridcolor: GRID, nticks: dates(chart), tickangle: 0, type: "date", hoverformat: data.daily ? "%-d %b %Y" : "%-d %b %Y %H:%M" };
}

function showEquity() {
  const { date, value, drawdown } = data.equity;
  const worth = { type: "scatter", mode: "lines", x: date, y: value, name: "worth", line: { ...LINE, color: BOUGHT }, hovertemplate: "%{y:,.2f}<extra></extra>" };
  const under = {
    type: "scatter", mode: "lines", x: date, y: drawdown, name: "drawdown", fill: "tozeroy", line: { width: 1, color: SOLD },
    fillcolor: "rgba(217,72,15,.18)", hovertemplate: "%{y:.2%}<extra></extra>",
  };
  const chart = byId("equity");
  Plotly.newPlot(chart, [worth], layout(phone ? 250 : 320, {
    xaxis: timeAxis(chart), yaxis: { gridcolor: GRID, tickformat: ",.0f", zeroline: false, nticks: 7 },
  }), plotOptions);
  Plotly.newPlot("drawdown", [under], layout(phone ? 130 : 150, {
    xaxis: timeAxis(chart), yaxis: { gridcolor: GRID, tickformat: ".2~%", zeroline: false, nticks: 4 },
  }), plotOptions);
  if (data.rolling.date.length > 1) {
    byId("rolled").hidden = false;
    const line = { type: "scatter", mode: "lines", x: data.rolling.date, y: data.rolling.value, line: { ...LINE, color: BOUGHT }, hovertemplate: "%{y:.2f}<extra></extra>" };
    Plotly.newPlot("rolling", [line], layout(phone ? 180 : 210, {
      xaxis: timeAxis(byId("rolling")), yaxis: { gridcolor: GRID, zerolinecolor: "#9aa3b2", nticks: 5 },
    }), plotOptions);
  }
}

// --- candles ---------------------------------------------------------------------------------------------------

const SPANS = [["100", 100], ["250", 250], ["1000", 1000], ["All", Infinity]];
const shown = { span: phone ? 0 : 1, end: 0 };

function fillChoices() {
  for (const symbol of symbols) element("option", byId("symbol"), symbol, { value: symbol });
  byId("symbol").hidden = symbols.length < 2;
  byId("symbol").onchange = () => showLast();
  SPANS.forEach(([name], index) => {
    element("button", byId("spans"), name, { type: "button" }).onclick = () => { shown.span = index; showCandles(); };
  });
  byId("earlier").onclick = () => { shown.end -= Math.floor(SPANS[shown.span][1] / 2); showCandles(); };
  byId("later").onclick = () => { shown.end += Math.floor(SPANS[shown.span][1] / 2); showCandles(); };
}

function showLast() {
  const fills = data.fills[byId("symbol").value], bars = data.prices[byId("symbol").value].date.length;
  const last = fills.length ? fills[fills.length - 1].bar : bars;
  shown.end = Math.min(bars, last + Math.floor(Math.min(SPANS[shown.span][1], bars) / 8));
  showCandles();
}

function showCandles() {
  const symbol = byId("symbol").value, prices = data.prices[symbol], bars = prices.date.length;
  const span = Math.min(SPANS[shown.span][1], bars);
  shown.end = Math.min(Math.max(shown.end, span), bars);
  const from = shown.end - span, to = shown.end, fills = data.fills[symbol];
  [...byId("spans").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === shown.span)));
  byId("earlier").disabled = from === 0;
  byId("later").disabled = to === bars;
  const within = fills.filter((fill) => fill.bar >= from && fill.bar < to).length;
  const merged = prices.merged > 1 ? ` A candle is ${prices.merged} bars.` : "";
  byId("candles-note").textContent =
    `${prices.date[from]} to ${prices.date[to - 1]}: ${within} of ${fills.length} fills of ${symbol}. ▲ bought, ▼ sold.${merged}`;
  const chart = byId("candles");
  const places = Math.max(2, Math.floor(chart.clientWidth / (data.daily ? 110 : 150)));
  const ticks = Array.from({ length: places }, (_, n) => prices.date[from + Math.floor(((n + 0.5) * span) / places)]);
  const axes = {
    hovermode: "closest",
    xaxis: { gridcolor: GRID, type: "category", rangeslider: { visible: false }, tickvals: ticks, tickangle: 0 },
    yaxis: { gridcolor: GRID, zeroline: false, nticks: 8 },
  };
  const traces = [priceTrace(prices, from, to), markers(fills, prices, from, to, "BUY"), markers(fills, prices, from, to, "SELL")];
  Plotly.react(chart, traces, layout(phone ? 340 : 440, axes), plotOptions);
}

// --- the sweep -------------------------------------------------------------------------------------------------

function showSweep() {
  const { objective, across, down, cells, runs, best } = data.sweep;
  byId("searched").hidden = false;
  const words = Object.entries(best).map(([name, value]) => `${name} = ${value}`).join(", ");
  byId("heat-note").textContent =
    `${heading(objective)} of ${whole(runs)} runs. Highest: ${words}, which is what this page shows. ` +
    "Believe a hill, not a peak: neighbours of good parameters should be good, too.";
  const chart = byId("heat"), text = (value) => String(value);
  const named = { title: { text: across.name }, type: "category", fixedrange: true };
  if (down === null) {
    const bar = { type: "bar", x: across.values.map(text), y: cells[0], marker: { color: BOUGHT }, hovertemplate: "%{y:.3f}<extra></extra>" };
    Plotly.newPlot(chart, [bar], layout(phone ? 260 : 320, { margin: { l: 56, r: 12, t: 6, b: 46 }, xaxis: named, yaxis: { gridcolor: GRID } }), plotOptions);
    return;
  }
  const map = {
    type: "heatmap", x: across.values.map(text), y: down.values.map(text), z: cells, xgap: 1, ygap: 1, zmid: 0,
    colorscale: [[0, "#b3261e"], [0.5, "#f4f6f9"], [1, "#0b5cad"]], colorbar: { thickness: 10, outlinewidth: 0 },
    hovertemplate: `${across.name} %{x}, ${down.name} %{y}: %{z:.3f}<extra></extra>`,
  };
  Plotly.newPlot(chart, [map], layout(phone ? 320 : 420, {
    margin: { l: 60, r: 8, t: 8, b: 46 }, xaxis: named, yaxis: { title: { text: down.name }, type: "category", fixedrange: true },
  }), plotOptions);
}

function showWalk() {
  const { folds, total_return: earned, objective } = data.walk;
  byId("walk").hidden = false;
  byId("walk-note").textContent =
    `In each stretch what was best in the one before. ${heading(objective)} where it was chosen, and where it was played` +
    (none(earned) ? "." : `; one after the other they earned ${gain(earned)}.`);
  const table = byId("folds"), head = element("tr", element("thead", table)), body = element("tbody", table);
  for (const name of ["Played in", "Parameters", "Chosen at", "Played at", "Return"]) element("th", head, name);
  for (const fold of folds) {
    const row = element("tr", body);
    element("td", row, fold.span);
    element("td", row, fold.parameters);
    element("td", row, fixed(fold.chosen));
    element("td", row, fixed(fold.played));
    tinted(element("td", row, none(fold.total_return) ? "–" : gain(fold.total_return)), fold.total_return);
  }
}

// --- tables ----------------------------------------------------------------------------------------------------

function showMonths() {
  const table = byId("months"), head = element("tr", element("thead", table)), body = element("tbody", table);
  for (const name of ["Year", ...MONTHS, "All"]) element("th", head, name);
  for (const { year, months, total } of data.years) {
    const row = element("tr", body);
    element("td", row, year);
    for (const value of [...months, total]) {
      const cell = tinted(element("td", row, none(value) ? "" : (value * 100).toFixed(1).replace("-", "−")), value);
      if (!none(value)) {
        const strength = Math.min(Math.abs(value) / 0.1, 1) * 0.22;
        cell.style.background = value > 0 ? `rgba(10,122,75,${strength})` : value < 0 ? `rgba(179,38,30,${strength})` : "";
      }
    }
  }
}

const COLUMNS = [
  ["Symbol", (trip) => trip.symbol, String],
  ["Bought", (trip) => trip.entry, String],
  ["At", (trip) => trip.entry_price, price],
  ["Sold", (trip) => trip.exit ?? "still held", String],
  ["At", (trip) => trip.exit_price, (value) => (none(value) ? "" : price(value))],
  ["Units", (trip) => trip.quantity, units],
  ["Fees", (trip) => trip.fees, money],
  ["Profit", (trip) => trip.profit, (value) => (none(value) ? "" : money(value))],
  ["Share", (trip) => trip.share, (value) => (none(value) ? "" : gain(value))],
  ["Held", (trip) => trip.seconds, lasted],
];
const FIRST_ROWS = 50;
const order = { column: null, descending: true, all: false };

function sortedTrips() {
  if (order.column === null) return data.trades;
  const [, value] = COLUMNS[order.column], sign = order.descending ? -1 : 1;
  const last = (one) => (none(value(one)) ? 1 : 0);
  return [...data.trades].sort((one, other) =>
    last(one) - last(other) || (value(one) > value(other) ? sign : value(one) < value(other) ? -sign : 0));
}

function showTrades() {
  const table = byId("trades");
  table.replaceChildren();
  const head = element("tr", element("thead", table)), body = element("tbody", table);
  COLUMNS.forEach(([name], index) => {
    const cell = element("th", head);
    if (order.column === index) cell.ariaSort = order.descending ? "descending" : "ascending";
    element("button", cell, name, { type: "button" }).onclick = () => {
      order.descending = order.column === index ? !order.descending : index > 4;
      order.column = index;
      showTrades();
    };
  });
  const trips = sortedTrips(), count = order.all ? trips.length : Math.min(FIRST_ROWS, trips.length);
  for (const trip of trips.slice(0, count)) {
    const row = element("tr", body, undefined, { onclick: () => choose(trip) });
    COLUMNS.forEach(([name, value, format]) => {
      const cell = element("td", row, format(value(trip)));
      if (name === "Profit" || name === "Share") tinted(cell, value(trip));
    });
  }
  const more = byId("more");
  more.hidden = count === trips.length;
  more.textContent = `Show all ${whole(trips.length)}`;
  more.onclick = () => { order.all = true; showTrades(); };
  const left = data.trades_left_out ? ` The last ${whole(trips.length)} of ${whole(trips.length + data.trades_left_out)}.` : "";
  byId("trades-note").textContent = trips.length
    ? `Each purchase with its sale, first in, first out; profit after fees.${left} A tap on a row shows it above.`
    : "Nothing was bought.";
}

function choose(trip) {
  byId("symbol").value = trip.symbol;
  const bars = data.prices[trip.symbol].date.length, span = Math.min(SPANS[shown.span][1], bars);
  shown.end = trip.bar + Math.floor(span / 2);
  showCandles();
  byId("symbol").parentElement.scrollIntoView({ behavior: "smooth", block: "start" });
}

showSummary();
showEquity();
fillChoices();
showLast();
if (data.sweep) showSweep();
if (data.walk) showWalk();
showMonths();
showTrades();
