// The page that sets up to four blocks side by side. Verdicts come with the data; none is made here.

import { html, nothing, render, svg } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { pageData } from "./data.js";
import { count, interval, NOTHING, number, percent, signed } from "./format.js";

const MOST = 4;
const data = pageData();
const place = document.getElementById("compare");
const byPlace = new Map(data.entries.map((each) => [keyOf(each.group, each.position, each.block), each]));
const pairs = new Map(data.pairs.map((each) => [keyOf(each.group, each.position, each.block, each.other), each]));
let state = readState();

function keyOf(...parts) {
  return JSON.stringify(parts);
}

function blocksOf(group) {
  return [...new Set(data.entries.filter((each) => each.group === group).map((each) => each.block))].sort();
}

// The most accurate three, wherever they stand, unless the address names others.
function usual(group) {
  const known = data.entries.filter((each) => each.group === group && each.accuracy !== null);
  known.sort((a, b) => b.accuracy - a.accuracy || (a.block < b.block ? -1 : 1));
  return [...new Set(known.map((each) => each.block))].slice(0, 3);
}

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const group = data.groups.includes(given.get("group")) ? given.get("group") : data.groups[0];
  const known = new Set(blocksOf(group));
  const asked = [...new Set(given.getAll("block"))].filter((name) => known.has(name)).slice(0, MOST);
  return { group, blocks: given.has("block") ? asked : usual(group) };
}

function change(changes) {
  state = { ...state, ...changes };
  const known = new Set(blocksOf(state.group));
  state.blocks = state.blocks.filter((name) => known.has(name));
  const kept = new URLSearchParams({ group: state.group });
  for (const name of state.blocks) kept.append("block", name);
  if (!state.blocks.length) kept.append("block", "");
  history.replaceState(null, "", `#${kept}`);
  draw();
}

function choose(index, name) {
  const blocks = [...state.blocks];
  if (name) blocks[index] = name;
  else blocks.splice(index, 1);
  change({ blocks: [...new Set(blocks.filter(Boolean))] });
}

const option = (value, text, chosen) => html`<option value=${value} .selected=${live(chosen)}>${text}</option>`;

function tools() {
  const names = blocksOf(state.group);
  const boxes = Array.from({ length: Math.min(state.blocks.length + 1, MOST) }, (_, index) => index);
  return html`<div class="tools" role="search" aria-label="Blocks to compare">
    <label>Data set and protocol<select name="group" @change=${(event) => change({ group: event.target.value, blocks: state.blocks })}>
      ${data.groups.map((each) => option(each, each, each === state.group))}</select></label>
    ${boxes.map((index) => html`<label><span>${swatch(index)} Block ${index + 1}</span><select name="block${index}" @change=${(event) => choose(index, event.target.value)}>
      ${option("", "none", !state.blocks[index])}
      ${names.map((name) => option(name, name, name === state.blocks[index]))}</select></label>`)}
  </div>`;
}

const swatch = (index) => html`<svg class="swatch line-${index}" viewBox="0 0 22 8" aria-hidden="true"><line x1="0" x2="22" y1="4" y2="4"></line></svg>`;

const intervalOf = (low, high, scale = 100, digits = 2) => interval(low, high, scale, digits) || NOTHING;

const ROWS = [
  ["Accuracy, %", (e) => percent(e.accuracy)],
  ["95%, these images", (e) => intervalOf(e.low, e.high)],
  ["95%, new images", (e) => intervalOf(e.new_low, e.new_high)],
  ["Ranks", (e) => (e.ranks === null ? NOTHING : e.ranks[0] === e.ranks[1] ? e.ranks[0] : `${e.ranks[0]} to ${e.ranks[1]}`)],
  ["Tie group", (e) => e.ties || NOTHING],
  ["Seeds", (e) => `${e.seeds} ok${e.failed ? `, ${e.failed} failed` : ""}`],
  ["MACs of the stage", (e) => count(e.stage_macs)],
  ["Parameters of the stage", (e) => count(e.stage_params)],
  ["MACs of the network", (e) => count(e.macs)],
  ["Parameters of the network", (e) => count(e.params)],
  ["Memory, MB", (e) => number(e.memory_mb)],
];

function latencyCell(entry, key) {
  const found = entry?.latencies.find((each) => wayOf(each) === key);
  if (!found) return NOTHING;
  if (found.verdict === "baseline") return html`1 <small>the baseline, ${number(found.ms, 3)} ms</small>`;
  if (found.ratio === null) return found.verdict ?? NOTHING;
  return html`${number(found.ratio, 3)} <span class="verdict ${found.verdict}">${found.verdict}</span>
    <small>${interval(found.low, found.high, 1, 3)}</small>`;
}

const wayOf = (latency) => `${latency.device}, ${latency.way}`;

function numbersTable(position, entries) {
  const ways = [...new Set(entries.flatMap((each) => each?.latencies.map(wayOf) ?? []))];
  const marked = entries.some((each) => each?.mark);
  return html`<div class="wide" role="region" tabindex="0" aria-label="Numbers at ${position}"><table class="plain sides">
    <caption class="unseen">Numbers at ${position}</caption>
    <thead><tr><th scope="col">at ${position}</th>${state.blocks.map((name, index) => html`<th scope="col" class="number">${swatch(index)} ${entries[index] ? html`<a href=${entries[index].page}>${name}</a>` : name}</th>`)}</tr></thead>
    <tbody>${ROWS.map(([label, of]) => html`<tr><th scope="row">${label}</th>${entries.map((each) => html`<td class="number">${each ? of(each) : NOTHING}</td>`)}</tr>`)}
      ${ways.map((way) => html`<tr><th scope="row">Latency ratio <small>${way}</small></th>${entries.map((each) => html`<td class="number">${latencyCell(each, way)}</td>`)}</tr>`)}
      ${marked ? html`<tr><th scope="row">Mark</th>${entries.map((each) => html`<td>${each?.mark || "clean"}</td>`)}</tr>` : nothing}
    </tbody></table></div>`;
}

const TURNED = { better: "worse", worse: "better", faster: "slower", slower: "faster" };
const negative = (value) => (value === null ? null : -value);

// A pair is there once; seen from the other side everything is turned round.
function pairOf(position, block, other) {
  const found = pairs.get(keyOf(state.group, position, block, other));
  if (found) return found;
  const turned = pairs.get(keyOf(state.group, position, other, block));
  if (!turned) return null;
  const inverse = (value) => (value ? 1 / value : null);
  return {
    ...turned, block, other,
    verdict: TURNED[turned.verdict] ?? turned.verdict,
    mean: negative(turned.mean), low: negative(turned.high), high: negative(turned.low),
    new_low: negative(turned.new_high), new_high: negative(turned.new_low),
    improvement: turned.improvement === null ? null : 1 - turned.improvement,
    ratio: inverse(turned.ratio), ratio_low: inverse(turned.ratio_high), ratio_high: inverse(turned.ratio_low),
    ratio_verdict: TURNED[turned.ratio_verdict] ?? turned.ratio_verdict,
  };
}

function pairRow(position, block, other) {
  const pair = pairOf(position, block, other);
  const name = html`<th scope="row" class="text">${block} <small>less ${other}</small></th>`;
  if (!pair) return html`<tr>${name}<td colspan="7" class="text">No verdict: of so many blocks only pairs with the context block are judged. Their own intervals stand above; what they suggest is exploratory.</td></tr>`;
  const points = (value) => (value === null ? NOTHING : signed(100 * value));
  const open = pair.verdict === "undecided" && pair.detectable !== null
    ? `so many seeds find ${number(100 * pair.detectable)} points${pair.seeds_needed === null ? "" : `; about ${pair.seeds_needed} seeds would decide`}` : "";
  return html`<tr>${name}<td><span class="verdict ${pair.verdict}">${pair.verdict}</span>${pair.exploratory ? html` <span class="tag">exploratory</span>` : nothing}</td>
    <td class="number">${points(pair.mean)}</td><td class="number">${intervalOf(pair.low, pair.high)}</td><td class="number">${intervalOf(pair.new_low, pair.new_high)}</td>
    <td class="number">${pair.p === null ? NOTHING : pair.p < 0.001 ? "< 0.001" : number(pair.p, 3)}<small>of ${pair.comparisons}</small></td>
    <td class="number">${pair.ratio === null ? NOTHING : html`${number(pair.ratio, 3)} <span class="verdict ${pair.ratio_verdict}">${pair.ratio_verdict}</span><small>${interval(pair.ratio_low, pair.ratio_high, 1, 3)}</small>`}</td>
    <td class="text">${[pair.reason, open].filter(Boolean).join("; ") || NOTHING}</td></tr>`;
}

function pairsTable(position, entries) {
  const there = state.blocks.filter((_, index) => entries[index]);
  if (there.length < 2) return nothing;
  const rows = there.flatMap((block, index) => there.slice(index + 1).map((other) => pairRow(position, block, other)));
  return html`<div class="wide" role="region" tabindex="0" aria-label="Verdicts at ${position}"><table class="plain sides">
    <caption class="unseen">Verdicts at ${position}</caption>
    <thead><tr><th scope="col">pair</th><th scope="col">verdict</th><th scope="col" class="number">points</th><th scope="col" class="number">95%, these images</th>
      <th scope="col" class="number">95%, new images</th><th scope="col" class="number">p, adjusted</th><th scope="col" class="number">latency ratio</th><th scope="col">what is open</th></tr></thead>
    <tbody>${rows}</tbody></table></div>`;
}

const WIDE = 560;
const HIGH = 250;
const EDGE = { left: 44, right: 10, top: 10, bottom: 28 };

function curves(position, entries) {
  const drawn = entries.map((each, index) => ({ index, points: each?.curve ?? [] })).filter((each) => each.points.length);
  if (!drawn.length) return nothing;
  const every = drawn.flatMap((each) => each.points);
  const ends = [Math.min(...every.map((p) => p[0])), Math.max(...every.map((p) => p[0]))];
  const means = every.map((p) => p[1]);
  const reach = Math.max(Math.max(...means) - Math.min(...means), 1);
  const bottom = Math.max(Math.min(...means) - 0.1 * reach, 0);
  const top = Math.min(Math.max(...means) + 0.1 * reach, 100);
  const x = (value) => EDGE.left + ((value - ends[0]) / (ends[1] - ends[0] || 1)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => HIGH - EDGE.bottom - ((Math.min(Math.max(value, bottom), top) - bottom) / (top - bottom || 1)) * (HIGH - EDGE.top - EDGE.bottom);
  const at = (px, py) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => bottom + share * (top - bottom));
  return html`<figure><figcaption>Validation accuracy by epoch, %, at ${position}</figcaption>
    <svg class="drawing" role="img" viewBox="0 0 ${WIDE} ${HIGH}" aria-label="Validation accuracy by epoch at ${position}">
      ${ticks.map((value) => svg`<line class="grid" x1=${EDGE.left} x2=${WIDE - EDGE.right} y1=${y(value)} y2=${y(value)}></line><text x=${EDGE.left - 6} y=${y(value)} dy="0.32em" text-anchor="end">${number(value, 1)}</text>`)}
      ${ends.map((value, index) => svg`<text x=${x(value)} y=${HIGH - 8} text-anchor=${index ? "end" : "start"}>${value}</text>`)}
      ${drawn.map((each) => svg`<g class="line-${each.index}"><polygon class="reach" points=${[...each.points.map((p) => at(p[0], p[3] ?? p[1])), ...[...each.points].reverse().map((p) => at(p[0], p[2] ?? p[1]))].join(" ")}></polygon>
        <polyline points=${each.points.map((p) => at(p[0], p[1])).join(" ")}></polyline></g>`)}
    </svg>
    <details><summary>Numbers of this drawing</summary><div class="wide" role="region" tabindex="0" aria-label="Curves at ${position}"><table class="plain">
      <caption class="unseen">Validation accuracy by epoch at ${position}</caption>
      <thead><tr><th scope="col" class="number">epoch</th>${drawn.map((each) => html`<th scope="col" class="number">${state.blocks[each.index]}</th>`)}</tr></thead>
      <tbody>${[...new Set(every.map((p) => p[0]))].sort((a, b) => a - b).map((epoch) => html`<tr><td class="number">${epoch}</td>${drawn.map((each) => {
        const point = each.points.find((p) => p[0] === epoch);
        return html`<td class="number">${point ? number(point[1]) : NOTHING}<small>${point ? interval(point[2], point[3]) : ""}</small></td>`;
      })}</tr>`)}</tbody></table></div></details></figure>`;
}

function section(position) {
  const entries = state.blocks.map((name) => byPlace.get(keyOf(state.group, position, name)) ?? null);
  if (!entries.some(Boolean)) return nothing;
  return html`<section id="at-${position}"><h2>At ${position}</h2>${numbersTable(position, entries)}${pairsTable(position, entries)}${curves(position, entries)}</section>`;
}

function draw() {
  render(
    html`${tools()}
    ${state.blocks.length
      ? html`<p class="below">The family that was declared is each block against the context block. Other pairs are exploratory: nothing is confirmed by them.
          Points are hundredths of accuracy. Equal: the 90% interval lies within 0.3 points.</p>
        ${data.positions.map(section)}`
      : html`<p class="notice">Choose a block.</p>`}`,
    place,
  );
}

addEventListener("hashchange", () => {
  state = readState();
  draw();
});
if (data.groups.length) draw();
else render(html`<p class="notice">Nothing was trained, so there is nothing to compare.</p>`, place);
