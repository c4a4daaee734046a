// What stands in the cells of the table. Text of others is only ever put in as text.

import { html, nothing, svg } from "lit-html";
import { count, interval, NOTHING, number, percent } from "./format.js";

const COUNTS = new Set(["stage_macs", "stage_params", "macs", "params", "macs_train", "params_train"]);
const DIGITS = {
  year: 0, threads: 0, batch_size: 0, memory_mb: 2, training_memory_mb: 1, latency_p90_ms: 3, throughput: 0,
  energy_j_per_image: 4,
};

export function isNumber(board, shown) {
  return board.columns[shown.parts[0]].kind !== "text" && shown.key !== "ties";
}

export function placeMark(positions, position) {
  const bars = positions.map(
    (each, index) => svg`<rect class=${each === position ? "on" : ""} x=${index * 6} y=${index * 3} width="4.4" height=${16 - index * 3} rx="0.8"></rect>`,
  );
  return html`<span class="place at-${position}"><svg viewBox="0 0 17 16" aria-hidden="true">${bars}</svg><span>${position}</span></span>`;
}

// A long name breaks between its words first.
const WORDS = /(?<=[a-z0-9])(?=[A-Z])|(?<=[/._:-])/;

export function blockCell(board, row) {
  const words = board.value("block", row).split(WORDS);
  return html`<a href=${board.value("page", row)}>${words.map((word, index) => html`${index ? html`<wbr>` : nothing}${word}`)}</a>
    ${placeMark(board.positions, board.value("position", row))}${marked(board.value("mark", row), board.value("mark_reason", row))}`;
}

// What the log of corrections says against a result is seen whatever columns are shown.
function marked(mark, reason) {
  return mark === "clean" ? nothing : html`<span class="mark ${mark}" title=${reason}>${mark}</span>`;
}

export function cellOf(board, shown, row, range) {
  const of = (key) => board.value(key, row);
  const special = { accuracy, ties, latency, seeds, latency_ms: milliseconds, mark: markCell }[shown.key];
  if (special) return special(of, range);
  const value = of(shown.parts[0]);
  if (value === null) return NOTHING;
  if (COUNTS.has(shown.key)) return html`<span title=${value.toLocaleString("en-US")}>${count(value)}</span>`;
  if (typeof value === "number") return shown.key === "year" ? String(value) : number(value, DIGITS[shown.key] ?? 2);
  return html`<span class="clip">${value}</span>`;
}

function accuracy(of, range) {
  const mean = of("accuracy");
  if (mean === null) return NOTHING;
  const these = interval(of("accuracy_low"), of("accuracy_high"), 100);
  const fresh = interval(of("new_images_low"), of("new_images_high"), 100);
  return html`${percent(mean)}${rangeMark(of, range)}
    ${these ? html`<small>these images ${these}</small>` : nothing}
    ${fresh ? html`<small>new images ${fresh}</small>` : nothing}`;
}

// Both intervals on the scale of the rows that are shown.
function rangeMark(of, range) {
  if (of("accuracy_low") === null || !range) return nothing;
  const at = (value) => (2 + (96 * (value - range[0])) / (range[1] - range[0] || 1)).toFixed(2);
  const bar = (name, low, high, y, height) =>
    low === null ? nothing : svg`<rect class=${name} x=${at(low)} width=${Math.max(at(high) - at(low), 0.6)} y=${y} height=${height} rx="0.8"></rect>`;
  return html`<svg class="range" viewBox="0 0 100 11" preserveAspectRatio="none" aria-hidden="true">
    <line class="axis" x1="0" x2="100" y1="5.5" y2="5.5"></line>
    ${bar("new", of("new_images_low"), of("new_images_high"), 1.5, 8)}
    ${bar("these", of("accuracy_low"), of("accuracy_high"), 3.5, 4)}
    <rect class="mean" x=${at(of("accuracy")) - 0.5} width="1" y="0" height="11"></rect>
  </svg>`;
}

function ties(of) {
  const [best, worst] = [of("rank_best"), of("rank_worst")];
  if (best === null) return NOTHING;
  const letters = of("tie_groups").split(" ");
  const rank = best === worst ? `rank ${best}` : `ranks ${best} to ${worst}`;
  return html`${letters.map((letter) => html`<span class="tie">${letter}</span>`)}<small>${rank}</small>`;
}

function latency(of) {
  const [ratio, verdict] = [of("latency_ratio"), of("latency_verdict")];
  if (verdict === "baseline") return html`1<small>the baseline</small>`;
  if (ratio === null) return verdict ?? NOTHING;
  return html`${number(ratio, 3)} <span class="verdict ${verdict}">${verdict}</span>
    <small>${interval(of("latency_ratio_low"), of("latency_ratio_high"), 1, 3)}</small>
    <small class="clip">× ${of("latency_baseline")}</small>`;
}

function seeds(of) {
  const failed = of("seeds_failed");
  const why = of("failures");
  return html`${of("seeds")} ok${failed ? html`, <span class="failed">${failed} failed</span>` : nothing}
    ${why ? html`<small class="clip" title=${why}>${why}</small>` : nothing}`;
}

function milliseconds(of) {
  const median = of("latency_ms");
  if (median === null) return NOTHING;
  return html`${number(median, 3)}<small>${interval(of("latency_low_ms"), of("latency_high_ms"), 1, 3)}</small>`;
}

function markCell(of) {
  return html`${of("mark")}<small class="clip">${of("mark_reason") ?? ""}</small>`;
}
