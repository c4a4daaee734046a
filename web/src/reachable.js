// Marks of a chart are links with one stop for all of them: arrows go from one to the next.

export function reachable(chart, points, texts, say) {
  const marks = [...chart.querySelectorAll(".points > [aria-label], .points [aria-label]")].filter((each) => each.tagName !== "g");
  for (const group of chart.querySelectorAll("g[aria-label]")) group.setAttribute("role", "group");
  const byText = new Map(points.map((point, index) => [texts[index], point]));
  const tell = (mark) => say(mark.getAttribute("aria-label"));
  marks.forEach((mark, index) => {
    const point = byText.get(mark.getAttribute("aria-label"));
    mark.setAttribute("role", "link");
    mark.setAttribute("tabindex", index ? "-1" : "0");
    mark.addEventListener("pointerenter", () => tell(mark));
    mark.addEventListener("focus", () => tell(mark));
    mark.addEventListener("click", () => { location.href = point.page; });
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Enter") location.href = point.page;
      goOn(event, marks, index);
    });
  });
  return chart;
}

// To the neighbour that an arrow means, in a chart in rows to the one below or above.
export function goOn(event, marks, index, perRow = 1) {
  const step = { ArrowRight: 1, ArrowDown: perRow, ArrowLeft: -1, ArrowUp: -perRow }[event.key];
  const next = event.key === "Home" ? marks[0] : event.key === "End" ? marks.at(-1) : step && marks[index + step];
  if (!next) return;
  event.preventDefault();
  marks[index].setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}
