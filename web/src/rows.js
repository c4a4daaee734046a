// Which rows are shown, and in which order.

const EQUAL = ["position", "family", "licence", "merges", "device", "backend", "track", "mark"];

export function currentGroup(board, state) {
  return board.groups.find((each) => each.title === state.group) ?? board.groups[0];
}

export function matchingRows(board, state) {
  const tests = filters(board, state);
  const found = [];
  for (let row = 0; row < board.count; row += 1) {
    if (tests.every((test) => test(row))) found.push(row);
  }
  return sorted(board, state, found);
}

function filters(board, state) {
  const group = currentGroup(board, state);
  const tests = [(row) => board.columns.group.codes[row] === group.code];
  // Whoever asks for one device or backend wants it, whether it is the usual one or not.
  if (!state.way && !state.device && !state.backend) tests.push((row) => board.columns.usual.values[row] === 1);
  for (const name of EQUAL) {
    if (state[name]) tests.push((row) => board.value(name, row) === state[name]);
  }
  const year = board.columns.year.values;
  if (state.from) tests.push((row) => year[row] !== null && year[row] >= Number(state.from));
  if (state.to) tests.push((row) => year[row] !== null && year[row] <= Number(state.to));
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) tests.push((row) => words.every((word) => board.haystack[row].includes(word)));
  return tests;
}

export function sorting(board, state) {
  const shown = board.byKey.get(state.sort) ?? board.byKey.get("accuracy");
  const descending = state.dir ? state.dir === "desc" : shown.descending;
  return { shown, descending };
}

function sorted(board, state, rows) {
  const { shown, descending } = sorting(board, state);
  const values = board.order(shown.parts[0]);
  const names = board.order("block");
  const stages = board.columns.stage.values;
  const worst = board.columns.rank_worst.values;
  const sign = descending ? -1 : 1;
  // Ranks are those of a position, and compare there alone.
  const grouped = shown.key === "ties";
  return rows.sort((a, b) => {
    if (grouped && stages[a] !== stages[b]) return stages[a] - stages[b];
    const [x, y] = [values[a], values[b]];
    if (x !== y) {
      // What is not known stands last, whichever way.
      if (x === null) return 1;
      if (y === null) return -1;
      return sign * (x - y);
    }
    return (grouped ? sign * (worst[a] - worst[b]) : 0) || names[a] - names[b] || stages[a] - stages[b];
  });
}
