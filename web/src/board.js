// The page of the table: filters, the rows in pages of 200, columns to choose, files to save.

import { html, nothing, render } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { blockCell, cellOf, isNumber } from "./cells.js";
import { csvText, saveFile } from "./csv.js";
import { Board, pageData } from "./data.js";
import { currentGroup, matchingRows, sorting } from "./rows.js";
import { readState, writeState } from "./state.js";

const PAGE = 200;
const board = new Board(pageData());
const place = document.getElementById("board");
let state = readState(location.hash);

function change(changes) {
  state = { ...state, page: "", ...changes };
  const kept = writeState(state);
  if (kept !== location.hash.slice(1)) {
    history.replaceState(null, "", kept ? `#${kept}` : location.pathname + location.search);
  }
  draw();
}

function shownColumns() {
  if (!state.cols) return board.shown.filter((each) => each.first);
  const asked = new Set(state.cols.split(","));
  return board.shown.filter((each) => each.key === "block" || asked.has(each.key));
}

function toggleColumn(key, on) {
  const keys = new Set(shownColumns().map((each) => each.key));
  if (on) keys.add(key);
  else keys.delete(key);
  const found = board.shown.filter((each) => keys.has(each.key));
  const usual = found.length === board.shown.filter((each) => each.first).length && found.every((each) => each.first);
  change({ cols: usual ? "" : found.map((each) => each.key).join(","), page: state.page });
}

function sortBy(shown) {
  const now = sorting(board, state);
  const descending = now.shown.key === shown.key ? !now.descending : shown.descending;
  change({ sort: shown.key, dir: descending ? "desc" : "asc" });
}

const choice = (name, label, options) => html`<label>${label}
  <select name=${name} @change=${(event) => change({ [name]: event.target.value })}>
    ${options.map(([value, text]) => html`<option value=${value} .selected=${live(state[name] === value)}>${text}</option>`)}
  </select></label>`;

const anyOf = (key, any) => [["", any], ...board.choices(key).map((text) => [text, text])];

function tools() {
  const group = currentGroup(board, state);
  const more = ["family", "licence", "merges", "device", "backend", "from", "to", "way", "mark"].some((name) => state[name]);
  return html`<div class="tools" role="search" aria-label="Rows">
    <label>Data set and protocol
      <select name="group" @change=${(event) => change({ group: event.target.value })}>
        ${board.groups.map((each) => html`<option value=${each.title} .selected=${live(each === group)}>${each.title}</option>`)}
      </select></label>
    <label>Search
      <input type="search" name="q" autocomplete="off" .value=${live(state.q)} @input=${(event) => change({ q: event.target.value })}></label>
    ${board.choices("track").length > 1 ? choice("track", "Budget track", anyOf("track", "all")) : nothing}
    ${choice("position", "Position", [["", "all"], ...board.positions.map((each) => [each, each])])}
    <details class="columns">
      <summary>Columns</summary>
      <fieldset><legend>Columns of the table</legend>
        ${board.shown.filter((each) => each.key !== "block").map((each) => columnBox(each))}
      </fieldset>
    </details>
    <details class="more" ?open=${more}>
      <summary>More filters</summary>
      <div>
        ${choice("family", "Family", anyOf("family", "all"))}
        <label>From year <input type="number" name="from" .value=${live(state.from)} @change=${(event) => change({ from: event.target.value })}></label>
        <label>To year <input type="number" name="to" .value=${live(state.to)} @change=${(event) => change({ to: event.target.value })}></label>
        ${choice("licence", "Licence", anyOf("licence", "all"))}
        ${choice("merges", "Merges branches", anyOf("merges", "either"))}
        ${choice("mark", "Mark", anyOf("mark", "all"))}
        ${choice("device", "Device of the timing", anyOf("device", "the usual one"))}
        ${choice("backend", "Backend", anyOf("backend", "the usual one"))}
        ${choice("way", "Ways of running", [["", "the usual one"], ["all", "all"]])}
      </div>
    </details>
  </div>`;
}

function columnBox(shown) {
  const on = shownColumns().includes(shown);
  return html`<label><input type="checkbox" name=${shown.key} .checked=${live(on)}
    @change=${(event) => toggleColumn(shown.key, event.target.checked)}>${shown.label}</label>`;
}

function header(shown) {
  const now = sorting(board, state);
  const here = now.shown.key === shown.key;
  const way = now.descending ? "descending" : "ascending";
  return html`<th scope="col" class=${isNumber(board, shown) ? "number" : "text"} aria-sort=${here ? way : nothing}>
    <button type="button" data-key=${shown.key} title=${shown.help || nothing} @click=${() => sortBy(shown)}>${shown.label}
      <span class="arrow" aria-hidden="true">${here ? (now.descending ? "▼" : "▲") : ""}</span></button></th>`;
}

function line(row, columns, range) {
  return html`<tr><th scope="row">${blockCell(board, row)}</th>
    ${columns.slice(1).map((shown) => html`<td class=${isNumber(board, shown) ? "number" : "text"}>${cellOf(board, shown, row, range)}</td>`)}</tr>`;
}

// From the lowest to the highest end of an interval among these rows; null without any.
function rangeOf(rows) {
  let [low, high] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const key of ["accuracy_low", "new_images_low"]) low = Math.min(low, board.value(key, row) ?? Infinity);
    for (const key of ["accuracy_high", "new_images_high"]) high = Math.max(high, board.value(key, row) ?? -Infinity);
  }
  return low <= high ? [low, high] : null;
}

function pager(page, pages) {
  if (pages < 2) return nothing;
  const go = (to) => {
    change({ page: to ? String(to + 1) : "" });
    place.querySelector(".board").scrollTo(0, 0);
  };
  return html`<nav class="pager" aria-label="Pages of the table">
    <button type="button" ?disabled=${page === 0} @click=${() => go(page - 1)}>Previous ${PAGE}</button>
    <span>${page + 1} of ${pages}</span>
    <button type="button" ?disabled=${page + 1 === pages} @click=${() => go(page + 1)}>Next ${PAGE}</button></nav>`;
}

function draw() {
  const rows = matchingRows(board, state);
  const columns = shownColumns();
  const pages = Math.max(Math.ceil(rows.length / PAGE), 1);
  const page = Math.min(Math.max(Math.trunc(Number(state.page) || 1) - 1, 0), pages - 1);
  const drawn = rows.slice(page * PAGE, (page + 1) * PAGE);
  const range = rangeOf(drawn);
  const title = currentGroup(board, state)?.title ?? "";
  const parts = columns.flatMap((each) => each.parts);
  const every = Array.from({ length: board.count }, (_, row) => row);
  render(
    html`${tools()}
    <div class="status"><p role="status">${rows.length === 1 ? "1 row" : `${rows.length.toLocaleString("en-US")} rows`} of ${title}</p>
      <div class="buttons">
        ${location.hash.length > 1 ? html`<button type="button" @click=${() => change(readState(""))}>Reset</button>` : nothing}
        <button type="button" class="save-shown" @click=${() => saveFile("blocks-shown.csv", csvText(board, parts, rows))}>Save what is shown (CSV)</button>
        <button type="button" class="save-all" @click=${() => saveFile("blocks-all.csv", csvText(board, board.files, every))}>Save all rows (CSV)</button>
      </div></div>
    <div class="wide board" role="region" aria-label="Table of blocks" tabindex="0">
      <table><caption class="unseen">Blocks: ${title}</caption>
        <thead><tr>${columns.map(header)}</tr></thead>
        <tbody>${drawn.map((row) => line(row, columns, range))}</tbody></table>
    </div>
    ${rows.length ? nothing : html`<p class="notice">No row is left. <button type="button" @click=${() => change({ ...readState(""), group: state.group })}>Clear the filters</button></p>`}
    ${pager(page, pages)}`,
    place,
  );
}

addEventListener("hashchange", () => {
  state = readState(location.hash);
  draw();
});
// An open list of columns closes as menus do.
addEventListener("keydown", (event) => {
  const open = place.querySelector(".columns[open]");
  if (event.key === "Escape" && open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
addEventListener("click", (event) => {
  const open = place.querySelector(".columns[open]");
  if (open && !open.contains(event.target)) open.open = false;
});
draw();
