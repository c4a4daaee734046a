// What is shown and how, kept in the address after "#", so that a link keeps the view.

const DEFAULTS = {
  group: "", q: "", position: "", family: "", licence: "", merges: "", device: "", backend: "",
  track: "", mark: "",
  way: "", from: "", to: "", sort: "", dir: "", cols: "", page: "",
};

export function readState(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) state[name] = given.get(name) ?? "";
  return state;
}

export function writeState(state) {
  const kept = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value) kept.set(name, value);
  return kept.toString();
}
