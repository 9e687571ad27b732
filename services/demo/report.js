"use strict";
// The page around the data of one demo: tiles, checks, equity per symbol, candles with trades, the table.

const data = JSON.parse(document.getElementById("data").textContent);
const played = data.sessions.filter((session) => session.symbol in data.prices);
const symbols = [...new Set(played.map((session) => session.symbol))];
const strategies = [...new Set(played.map((session) => session.strategy))];
const BENCHMARK = "buy_and_hold";
const coloured = strategies.filter((name) => name !== BENCHMARK);
const colour = (name) => (name === BENCHMARK ? "#6b7280" : PALETTE[coloured.indexOf(name) % PALETTE.length]);
// --- what happened ---------------------------------------------------------------------------------------------

function showSummary() {
  const { bars, signals, trades, rejections, profit, seconds } = data.summary;
  byId("lede").textContent =
    `${whole(bars)} daily bars of ${symbols.length} stocks, ${data.first} to ${data.last}, went through Redis to ` +
    `${data.sessions.length} sessions in a real worker; each began with ${whole(data.cash)} in cash.`;
  const tiles = [
    [whole(bars), "bars"], [whole(signals), "signals"], [whole(trades), "trades"],
    [whole(rejections), "rejections"], [signed(profit), "profit"], [seconds.toFixed(1) + " s", "took"],
  ];
  for (const [value, name] of tiles) {
    const tile = element("div", byId("tiles"), undefined, { className: "tile" });
    const shown = element("b", tile, value);
    if (name === "profit") toned(shown, profit);
    element("span", tile, name);
  }
  for (const check of data.checks) {
    element("li", byId("checks"), check.text, { className: check.holds ? "" : "failed" });
  }
  byId("equity-note").textContent =
    "Cash and holdings at every close, one chart per stock. Tap a name to hide it or show it again.";
  byId("made").textContent = `Made on ${data.made}. This page loads nothing from the network.`;
}

// --- equity ----------------------------------------------------------------------------------------------------

const hidden = new Set();

function showLegend() {
  for (const name of strategies) {
    const button = element("button", byId("legend"), undefined, { type: "button" });
    button.setAttribute("aria-pressed", "true");
    element("i", button).style.borderTopColor = colour(name);
    button.append(title(name));
    button.onclick = () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      showEquity();
    };
  }
}

function equityTraces(symbol) {
  return played
    .filter((session) => session.symbol === symbol)
    .map((session) => ({
      type: "scatter", mode: "lines", name: title(session.strategy), x: data.prices[symbol].date, y: session.equity,
      visible: !hidden.has(session.strategy), hovertemplate: "%{y:,.0f}",
      line: { color: colour(session.strategy), width: 1.6 },
    }));
}

// All cards stand before the first chart is drawn: how wide one is depends on how many there are.
function makeEquityCards() {
  for (const symbol of symbols) {
    const card = element("div", byId("equity"), undefined, { className: "card" });
    element("h3", card, symbol);
    element("div", card, undefined, { id: "equity-" + symbol });
  }
}

function showEquity() {
  for (const symbol of symbols) {
    const chart = byId("equity-" + symbol);
    const axes = {
      xaxis: { gridcolor: GRID, nticks: dates(chart), tickangle: 0, hoverformat: "%-d %b %Y", type: "date" },
      yaxis: { gridcolor: GRID, tickformat: ",.0f", zeroline: false, nticks: 6 },
    };
    Plotly.react(chart, equityTraces(symbol), layout(phone ? 230 : 270, axes), plotOptions);
  }
}

// --- the portfolio ---------------------------------------------------------------------------------------------

function showPortfolio() {
  const { capital, allocation, curve, filled, rebalancings, reduced_by_risk, profit, status } = data.portfolio;
  const shares = Object.entries(allocation).map(([symbol, share]) => `${symbol} ${percent(share)}`).join(", ");
  byId("portfolio-note").textContent =
    `${shares} of ${whole(capital)}, approved over a stream: ${whole(filled)} orders filled, ` +
    `${whole(rebalancings)} rebalancings, ${whole(reduced_by_risk)} of them made smaller by the risk desk, ` +
    `${signed(profit)} when it had ${status}. What it was worth, once a second while the years went by:`;
  const line = {
    y: curve, mode: "lines", line: { color: BOUGHT, width: 2 }, name: "worth", hovertemplate: "%{y:,.0f}<extra></extra>",
  };
  const axes = {
    xaxis: { visible: false, fixedrange: true },
    yaxis: { gridcolor: GRID, tickformat: ",.0f", fixedrange: true, zeroline: false },
  };
  Plotly.newPlot("portfolio", [line], layout(220, axes), plotOptions);
}

// --- candles ---------------------------------------------------------------------------------------------------

const SPANS = [["6 M", 126], ["1 Y", 252], ["3 Y", 756], ["All", Infinity]];
const shown = { span: phone ? 0 : 1, end: 0 };

function chosenSession() {
  return played.find((each) => each.symbol === byId("symbol").value && each.strategy === byId("strategy").value);
}

function fillChoices() {
  for (const symbol of symbols) element("option", byId("symbol"), symbol, { value: symbol });
  byId("symbol").onchange = () => { fillStrategies(); showEnd(); };
  byId("strategy").onchange = showTrades;
  SPANS.forEach(([name], index) => {
    const button = element("button", byId("spans"), name, { type: "button" });
    button.onclick = () => { shown.span = index; showTrades(); };
  });
  byId("earlier").onclick = () => { shown.end -= step(); showTrades(); };
  byId("later").onclick = () => { shown.end += step(); showTrades(); };
  fillStrategies();
}

function fillStrategies() {
  const select = byId("strategy"), before = select.value;
  select.replaceChildren();
  for (const session of played.filter((each) => each.symbol === byId("symbol").value)) {
    element("option", select, title(session.strategy), { value: session.strategy });
  }
  if ([...select.options].some((option) => option.value === before)) select.value = before;
}

const step = () => Math.floor(SPANS[shown.span][1] / 2);

function showEnd() {
  shown.end = data.prices[byId("symbol").value].date.length;
  showTrades();
}

function showTrades() {
  const session = chosenSession(), prices = data.prices[byId("symbol").value], bars = prices.date.length;
  const span = Math.min(SPANS[shown.span][1], bars);
  shown.end = Math.min(Math.max(shown.end, span), bars);
  const from = shown.end - span, to = shown.end;
  [...byId("spans").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === shown.span)));
  byId("earlier").disabled = from === 0;
  byId("later").disabled = to === bars;
  const within = session.fills.filter((fill) => fill.bar >= from && fill.bar < to).length;
  byId("trades-note").textContent =
    `${prices.date[from]} to ${prices.date[to - 1]}: ${within} of ${session.fills.length} trades of ` +
    `${title(session.strategy)} on ${session.symbol}. ▲ bought, ▼ sold.`;
  const axes = {
    hovermode: "closest",
    xaxis: {
      gridcolor: GRID, rangeslider: { visible: false }, nticks: dates(byId("candles")), tickangle: 0,
      hoverformat: "%-d %b %Y", type: "date",
      rangebreaks: span > CANDLES_FIT ? [] : [{ bounds: ["sat", "mon"] }],
    },
    yaxis: { gridcolor: GRID, zeroline: false, nticks: 8 },
  };
  const traces = [priceTrace(prices, from, to), markers(session.fills, prices, from, to, "BUY"), markers(session.fills, prices, from, to, "SELL")];
  Plotly.react(byId("candles"), traces, layout(phone ? 340 : 440, axes), plotOptions);
}

// --- table -----------------------------------------------------------------------------------------------------

const COLUMNS = [
  ["Strategy", (s) => s.strategy, title],
  ["Symbol", (s) => s.symbol, String],
  ["Profit", (s) => s.profit, signed],
  ["Realised", (s) => s.realised, signed],
  ["Unrealised", (s) => s.unrealised, signed],
  ["Drawdown", (s) => s.max_drawdown, percent],
  ["Position", (s) => s.position, whole],
  ["Bars", (s) => s.bars, whole],
  ["Signals", (s) => s.signals, whole],
  ["Executed", (s) => s.executed, whole],
  ["Rejected", (s) => s.rejected, whole],
];
const SUMMED = ["Bars", "Signals", "Executed", "Rejected", "Realised", "Unrealised", "Profit"];
const TONED = ["Realised", "Unrealised", "Profit"];
const order = { column: null, descending: true };

function sortedSessions() {
  if (order.column === null) return data.sessions;
  const [, value] = COLUMNS[order.column], sign = order.descending ? -1 : 1;
  return [...data.sessions].sort((one, other) => (value(one) > value(other) ? sign : value(one) < value(other) ? -sign : 0));
}

function choose(session) {
  if (!played.includes(session)) return;
  byId("symbol").value = session.symbol;
  fillStrategies();
  byId("strategy").value = session.strategy;
  showEnd();
  byId("symbol").scrollIntoView({ behavior: "smooth", block: "start" });
}

function showTable() {
  const table = byId("sessions");
  table.replaceChildren();
  const head = element("tr", element("thead", table));
  COLUMNS.forEach(([name], index) => {
    const cell = element("th", head);
    if (order.column === index) cell.ariaSort = order.descending ? "descending" : "ascending";
    element("button", cell, name, { type: "button" }).onclick = () => {
      order.descending = order.column === index ? !order.descending : index > 1;
      order.column = index;
      showTable();
    };
  });
  const body = element("tbody", table);
  for (const session of sortedSessions()) {
    const row = element("tr", body, undefined, { onclick: () => choose(session) });
    for (const [name, value, format] of COLUMNS) {
      const cell = element("td", row, format(value(session)));
      if (TONED.includes(name)) toned(cell, value(session));
    }
  }
  const foot = element("tr", element("tfoot", table));
  COLUMNS.forEach(([name, value, format], index) => {
    const sum = data.sessions.reduce((total, session) => total + Number(value(session)), 0);
    element("td", foot, index === 0 ? "All" : SUMMED.includes(name) ? format(sum) : "");
  });
}

showSummary();
showLegend();
showPortfolio();
makeEquityCards();
showEquity();
fillChoices();
showEnd();
showTable();
