// Pages for readers come before the reference, and that before the history of the project.
var Scorer = {
  score: (result) => {
    const [page, , , , score] = result;
    if (page === "guide/own_model") return score + 60;
    if (page.startsWith("start/") || page.startsWith("guide/")) return score + 30;
    if (page.startsWith("project/") || page === "reproduction" || page === "design") return score - 30;
    if (page.startsWith("reference/")) return score - 10;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 30,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
