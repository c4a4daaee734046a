// The page of charts: what accuracy costs, and where blocks belong. Each point can be reached by
// keyboard, says what it is in words, and stands in a table below.

import * as Plot from "@observablehq/plot";
import { html, nothing, render } from "lit-html";
import { pageData } from "./data.js";
import { errorsSection } from "./errors.js";
import { count, interval, NOTHING, number, percent, signed as plainSigned } from "./format.js";
import { reachable } from "./reachable.js";

const data = pageData();
const place = document.getElementById("charts");
const POSITIONS = ["early", "mid", "late"];
const COLOURS = { domain: [...POSITIONS, "several"], range: ["var(--early)", "var(--mid)", "var(--late)", "var(--quiet)"] };
const SYMBOLS = { domain: [...POSITIONS, "several"], range: ["circle", "triangle", "square", "diamond"] };
const groups = [...new Set([...data.fronts, ...data.positions, ...data.errors].map((each) => each.group))];
const given = new URLSearchParams(location.hash.slice(1));
const state = {
  group: groups.includes(given.get("group")) ? given.get("group") : groups[0],
  cost: data.costs[given.get("cost")] ? given.get("cost") : Object.keys(data.costs)[0],
  position: given.get("position") ?? "",
  first: Number(given.get("first")) || 0,
};

function change(changes) {
  Object.assign(state, changes);
  const kept = { group: state.group, cost: state.cost };
  if (state.position) kept.position = state.position;
  if (state.first) kept.first = String(state.first);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  draw();
}

const placeOf = (point) => (POSITIONS.includes(point.position) ? point.position : "several");
const costText = (value) => (state.cost === "latency" ? number(value, 3) : count(value));

function pointText(point) {
  const accuracy = `${percent(point.accuracy)} %${point.low === null ? "" : ` (${interval(point.low, point.high, 100)})`}`;
  const reach = point.cost_low === null ? "" : ` (${interval(point.cost_low, point.cost_high, 1, 3)})`;
  const front = point.probability === null ? "" : `; on the front with probability ${number(point.probability)}`;
  return `${point.block}, ${point.position}: accuracy ${accuracy}, ${data.costs[state.cost].toLowerCase()} ${costText(point.cost)}${reach}${front}`;
}

function frontChart(front) {
  const points = front.points;
  const best = points.filter((point) => point.on_front).sort((a, b) => a.cost - b.cost);
  const log = state.cost !== "latency" && Math.max(...points.map((p) => p.cost)) > 20 * Math.min(...points.map((p) => p.cost));
  const wide = Math.max(Math.min(place.clientWidth - 30, 1200), 300);
  return Plot.plot({
    width: wide,
    height: Math.min(Math.max(0.55 * wide, 320), 520),
    marginLeft: 52,
    marginBottom: 44,
    marginRight: 24,
    inset: 12,
    insetLeft: wide < 500 ? 30 : 60,
    insetRight: wide < 500 ? 30 : 60,
    style: { background: "transparent", color: "inherit" },
    ariaLabel: `Accuracy against ${data.costs[state.cost].toLowerCase()}`,
    x: { label: `${data.costs[state.cost]} →`, type: log ? "log" : "linear", nice: true, tickFormat: state.cost === "latency" ? undefined : "~s", ticks: wide < 500 ? 4 : 8 },
    y: { label: "↑ Accuracy, %", grid: true, nice: true, percent: true },
    color: COLOURS,
    symbol: SYMBOLS,
    marks: [
      ...bandMarks(front.band),
      Plot.line(best, { x: "cost", y: "accuracy", curve: "step-after", stroke: "var(--quiet)", strokeDasharray: "4 3" }),
      Plot.ruleX(points, { x: "cost", y1: "low", y2: "high", stroke: placeOf, strokeOpacity: 0.35, filter: (p) => p.low !== null }),
      Plot.ruleY(points, { y: "accuracy", x1: "cost_low", x2: "cost_high", stroke: placeOf, strokeOpacity: 0.35, filter: (p) => p.cost_low !== null }),
      Plot.dot(points, {
        x: "cost", y: "accuracy", symbol: placeOf, stroke: placeOf, fill: placeOf, fillOpacity: (p) => (p.on_front ? 0.9 : 0.12),
        r: 6, ariaLabel: pointText, className: "points", sort: "cost",
      }),
      Plot.text(best, {
        x: "cost", y: "accuracy", text: (p) => (p.block.length > 24 ? `${p.block.slice(0, 23)}…` : p.block), dy: -12, fill: "var(--ink)",
        stroke: "var(--panel)", strokeWidth: 3, textAnchor: "middle", pointerEvents: "none",
      }),
    ],
  });
}

// What is attained at a cost: the median, the middle half and 95% of the draws, in steps.
function bandMarks(band) {
  const steps = band.map(([cost, low, lower, median, upper, high]) => ({ cost, low, lower, median, upper, high }));
  const known = (low, high) => steps.filter((each) => each[low] !== null && each[high] !== null);
  return [
    Plot.areaY(known("low", "high"), { x: "cost", y1: "low", y2: "high", curve: "step-after", fill: "var(--band)", fillOpacity: 0.5, ariaHidden: "true" }),
    Plot.areaY(known("lower", "upper"), { x: "cost", y1: "lower", y2: "upper", curve: "step-after", fill: "var(--band)", ariaHidden: "true" }),
    Plot.line(known("median", "median"), { x: "cost", y: "median", curve: "step-after", stroke: "var(--accent)", strokeWidth: 1.5, ariaHidden: "true" }),
  ];
}

function bandTable(front) {
  if (!front.band.length) return nothing;
  return html`<details><summary>What is attained, with its band</summary><div class="wide" role="region" tabindex="0" aria-label="What is attained"><table class="plain">
    <caption class="unseen">Accuracy that is attained at a cost, %</caption>
    <thead><tr><th scope="col" class="number">${data.costs[state.cost]}, at most</th><th scope="col" class="number">median, %</th><th scope="col" class="number">middle half</th><th scope="col" class="number">95%</th></tr></thead>
    <tbody>${front.band.map(([cost, low, lower, median, upper, high]) => html`<tr><td class="number">${costText(cost)}</td><td class="number">${percent(median)}</td>
      <td class="number">${interval(lower, upper, 100) || NOTHING}</td><td class="number">${interval(low, high, 100) || NOTHING}</td></tr>`)}</tbody></table></div></details>`;
}

function gainText(each) {
  const reach = each.low === null ? "" : ` (${interval(each.low, each.high, 100)})`;
  return `${each.block}, ${each.position}: ${signed(each.mean)} points over the context block${reach}, ${each.n} seeds; ${each.verdict}`;
}

const signed = (value) => plainSigned(100 * value);

function gainsOf(blocks) {
  return blocks.flatMap((block) =>
    POSITIONS.filter((position) => block.gains[position]).map((position) => ({ ...block, ...block.gains[position], position })),
  );
}

function positionsChart(blocks) {
  const gains = gainsOf(blocks);
  const most = Math.max(...gains.map((each) => Math.abs(each.mean)), 1e-9);
  const wide = Math.max(Math.min(place.clientWidth - 30, 760), 300);
  const short = (name) => (name.length > 26 ? `${name.slice(0, 25)}…` : name);
  return Plot.plot({
    width: wide,
    height: 60 + 30 * blocks.length,
    marginLeft: Math.min(190, wide / 2.4),
    marginTop: 34,
    style: { background: "transparent", color: "inherit" },
    ariaLabel: "Gain over the context block by position",
    x: { domain: POSITIONS, axis: "top", label: null, padding: 0.03 },
    y: { domain: blocks.map((each) => each.block), label: null, tickFormat: short, padding: 0.06 },
    color: { type: "diverging", scheme: "BrBG", pivot: 0, domain: [-most, most] },
    marks: [
      Plot.cell(gains, { x: "position", y: "block", fill: "mean", inset: 1, ariaLabel: gainText, className: "points" }),
      Plot.text(gains, { x: "position", y: "block", text: (each) => signed(each.mean), fill: (each) => (Math.abs(each.mean) > 0.55 * most ? "#fff" : "#14201f"), pointerEvents: "none" }),
    ],
  });
}

const legend = html`<ul class="legend">
  <li><span class="at-early">●</span> early</li><li><span class="at-mid">▲</span> mid</li><li><span class="at-late">■</span> late</li>
  <li>◆ the same network at several positions</li><li>filled: on the front</li><li>lines: 95% intervals</li><li>band: what is attained, median, half and 95% of draws</li></ul>`;

function frontTable(front) {
  return html`<details><summary>Numbers of this chart</summary><div class="wide" role="region" tabindex="0" aria-label="Numbers of the front"><table class="plain">
    <caption class="unseen">Accuracy against ${data.costs[state.cost]}</caption>
    <thead><tr><th scope="col">block</th><th scope="col">position</th><th scope="col" class="number">accuracy, %</th><th scope="col" class="number">95%</th>
      <th scope="col" class="number">${data.costs[state.cost]}</th><th scope="col" class="number">95%</th><th scope="col">on the front</th><th scope="col" class="number">probability</th></tr></thead>
    <tbody>${front.points.map((p) => html`<tr><td class="text"><a href=${p.page}>${p.block}</a></td><td>${p.position}</td>
      <td class="number">${percent(p.accuracy)}</td><td class="number">${interval(p.low, p.high, 100) || NOTHING}</td>
      <td class="number">${costText(p.cost)}</td><td class="number">${interval(p.cost_low, p.cost_high, 1, 3) || NOTHING}</td>
      <td>${p.on_front ? "yes" : "no"}</td><td class="number">${number(p.probability)}</td></tr>`)}</tbody></table></div></details>`;
}

function positionsTable(blocks) {
  return html`<details><summary>Numbers of this chart</summary><div class="wide" role="region" tabindex="0" aria-label="Gains by position"><table class="plain">
    <caption class="unseen">Gain over the context block by position</caption>
    <thead><tr><th scope="col">block</th><th scope="col">position</th><th scope="col" class="number">gain, points</th><th scope="col" class="number">95%</th>
      <th scope="col" class="number">seeds</th><th scope="col">verdict</th></tr></thead>
    <tbody>${gainsOf(blocks).map((g) => html`<tr><td class="text"><a href=${g.page}>${g.block}</a></td><td>${g.position}</td><td class="number">${signed(g.mean)}</td>
      <td class="number">${interval(g.low, g.high, 100) || NOTHING}</td><td class="number">${g.n}</td><td class="text">${g.verdict}${g.reason ? html` <span class="small">${g.reason}</span>` : nothing}</td></tr>`)}</tbody></table></div></details>`;
}

const readingOf = (name) => (text) => {
  place.querySelector(`#reading-${name}`).textContent = text;
};

const select = (name, label, options) => html`<label>${label}<select name=${name} @change=${(event) => change({ [name]: event.target.value })}>
  ${options.map(([value, text]) => html`<option value=${value} .selected=${value === state[name]}>${text}</option>`)}</select></label>`;

function draw() {
  const front = data.fronts.find((each) => each.group === state.group && each.cost === state.cost);
  const blocks = data.positions.filter((each) => each.group === state.group && Object.keys(each.gains).length);
  const left = front?.left_out ?? [];
  render(
    html`<div class="tools">${select("group", "Data set and protocol", groups.map((each) => [each, each]))}</div>
    <section class="chart" id="front"><h2>Accuracy against cost</h2>
      <div class="tools">${select("cost", "Cost", Object.entries(data.costs))}</div>
      ${front
        ? html`${legend}<figure>${reachable(frontChart(front), front.points, front.points.map(pointText), readingOf("front"))}</figure>
          <p class="reading" id="reading-front" role="status">Point at a mark, or go to it by Tab and arrow keys.</p>
          ${front.timed ? html`<p class="below">Latency: ${front.timed}.</p>` : nothing}
          ${left.length ? html`<details><summary>${left.length} without this cost</summary><ul class="lines">${left.map((name) => html`<li>${name}</li>`)}</ul></details>` : nothing}
          ${frontTable(front)}${bandTable(front)}`
        : html`<p class="notice">No block here has both accuracy and this cost.</p>`}
    </section>
    <section class="chart" id="positions"><h2>Where blocks belong</h2>
      <p class="below">Gain in accuracy over the context block, in points. A verdict is about a block's own positions.</p>
      ${blocks.length
        ? html`<figure>${reachable(positionsChart(blocks), gainsOf(blocks), gainsOf(blocks).map(gainText), readingOf("positions"))}</figure>
          <p class="reading" id="reading-positions" role="status">Point at a cell, or go to it by Tab and arrow keys.</p>${positionsTable(blocks)}`
        : html`<p class="notice">No block here was trained at two positions.</p>`}
    </section>
    ${errorsSection(data.errors.filter((each) => each.group === state.group), state, change, readingOf("errors"))}`,
    place,
  );
}

if (groups.length) draw();
else render(html`<p class="notice">Nothing was trained, so there is nothing to draw.</p>`, place);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width || !groups.length) return;
  width = innerWidth;
  draw();
});
