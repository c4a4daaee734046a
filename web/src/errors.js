// The map of error consistency: which blocks err on the same images, more or less than chance has it.

import { html, nothing, svg } from "lit-html";
import { interval, NOTHING, number, percent } from "./format.js";
import { goOn } from "./reachable.js";

const AT_ONCE = 16;
const CELL = 34;

// Cells are there row by row, each from its own block on.
function cellAt(map, i, j) {
  const [low, high] = i <= j ? [i, j] : [j, i];
  const index = low * map.blocks.length - (low * (low - 1)) / 2 + (high - low);
  return { i, j, kappa: map.kappa[index], least: map.least[index], most: map.most[index], pairs: map.pairs[index] };
}

function cellText(map, cell) {
  const names = cell.i === cell.j ? `${map.blocks[cell.i]} beside itself` : `${map.blocks[cell.i]} and ${map.blocks[cell.j]}`;
  if (cell.kappa === null) return `${names}: not known`;
  const reach = cell.pairs > 1 ? `, of pairs ${interval(cell.least, cell.most)}` : "";
  return `${names}: kappa ${number(cell.kappa)}${reach}, ${cell.pairs === 1 ? "1 pair" : `${cell.pairs} pairs`} of trainings`;
}

function drawing(map, shown, say) {
  const cells = shown.flatMap((i) => shown.map((j) => cellAt(map, i, j)));
  const known = cells.map((each) => each.kappa).filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const share = (value) => (value - low) / (high - low || 1);
  const left = 150;
  const wide = left + CELL * shown.length + 8;
  const short = (name) => (name.length > 20 ? `${name.slice(0, 19)}…` : name);
  const move = (event, index) => goOn(event, [...event.target.closest("svg").querySelectorAll(".cell")], index, shown.length);
  const top = 28;
  return svg`<svg class="map" role="group" aria-label="Error consistency at ${map.position}" viewBox="0 0 ${wide} ${top + CELL * shown.length + 8}" width=${wide}>
    ${shown.map((block, row) => svg`<text x=${left - 8} y=${top + CELL * row + CELL / 2} dy="0.32em" text-anchor="end">${row + 1} ${short(map.blocks[block])}</text>
      <text x=${left + CELL * row + CELL / 2} y=${top - 8} text-anchor="middle">${row + 1}</text>`)}
    ${cells.map((cell, index) => {
      const [row, column] = [Math.floor(index / shown.length), index % shown.length];
      const known = cell.kappa !== null;
      return svg`<g class="cell" role="img" tabindex=${index ? "-1" : "0"} aria-label=${cellText(map, cell)} @focus=${() => say(cellText(map, cell))}
          @pointerenter=${() => say(cellText(map, cell))} @keydown=${(event) => move(event, index)}>
        <rect x=${left + CELL * column + 1} y=${top + CELL * row + 1} width=${CELL - 2} height=${CELL - 2} rx="3" fill-opacity=${known ? (0.08 + 0.92 * share(cell.kappa)).toFixed(3) : 0}></rect>
        <text x=${left + CELL * column + CELL / 2} y=${top + CELL * row + CELL / 2} dy="0.32em" text-anchor="middle" class=${known && share(cell.kappa) > 0.55 ? "over" : ""}>${known ? cell.kappa.toFixed(2).replace("0.", ".") : NOTHING}</text></g>`;
    })}</svg>`;
}

function table(map, shown) {
  const rows = shown.flatMap((i, place) => shown.slice(place).map((j) => cellAt(map, i, j)));
  return html`<details><summary>Numbers of this map</summary><div class="wide" role="region" tabindex="0" aria-label="Numbers of the map"><table class="plain">
    <caption class="unseen">Error consistency at ${map.position}</caption>
    <thead><tr><th scope="col">block</th><th scope="col" class="number">accuracy, %</th><th scope="col">and</th><th scope="col" class="number">kappa</th><th scope="col" class="number">least to most</th><th scope="col" class="number">pairs</th></tr></thead>
    <tbody>${rows.map((cell) => html`<tr><td class="text"><a href=${map.pages[cell.i]}>${map.blocks[cell.i]}</a></td><td class="number">${percent(map.accuracies[cell.i])}</td>
      <td class="text">${cell.i === cell.j ? "itself" : map.blocks[cell.j]}</td><td class="number">${number(cell.kappa)}</td>
      <td class="number">${interval(cell.least, cell.most) || NOTHING}</td><td class="number">${cell.pairs}</td></tr>`)}</tbody></table></div></details>`;
}

export function errorsSection(maps, state, change, say) {
  const map = maps.find((each) => each.position === state.position) ?? maps.find((each) => each.position === "mid") ?? maps[0];
  const title = html`<h2>Who errs on which images</h2>`;
  if (!map) return html`<section class="chart" id="errors">${title}<p class="notice">Of no two blocks here the answers to test images were kept.</p></section>`;
  const count = map.blocks.length;
  const first = Math.min(Math.max(state.first, 0), Math.max(count - 2, 0));
  const shown = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) => first + index);
  const starts = Array.from({ length: Math.ceil(count / AT_ONCE) }, (_, index) => index * AT_ONCE);
  return html`<section class="chart" id="errors">${title}
    <p class="below">Error consistency, Cohen's kappa of right and wrong. 1: errors on the same images. 0: as many common errors as chance has, given both accuracies.
      Each pair is of two other seeds; a block beside itself says how alike two trainings are. ${map.images.toLocaleString("en-US")} test images.</p>
    <div class="tools"><label>Position<select name="position" @change=${(event) => change({ position: event.target.value, first: 0 })}>
        ${maps.map((each) => html`<option value=${each.position} .selected=${each === map}>${each.position}</option>`)}</select></label>
      ${starts.length > 1 ? html`<label>Blocks by accuracy<select name="first" @change=${(event) => change({ first: Number(event.target.value) })}>
        ${starts.map((start) => html`<option value=${start} .selected=${start === first}>${start + 1} to ${Math.min(start + AT_ONCE, count)} of ${count}</option>`)}</select></label>` : nothing}</div>
    <figure>${drawing(map, shown, say)}</figure>
    <p class="reading" id="reading-errors" role="status">Point at a cell, or go to it by Tab and arrow keys.</p>
    ${table(map, shown)}</section>`;
}
