// Looks a pasted error up among those that the code can tell; "…" in a text stands for anything.
(function () {
  "use strict";
  const box = document.getElementById("find-error-text");
  const found = document.getElementById("find-error-found");
  const errors = window.XROLLOUT_ERRORS;
  if (!box || !found || !errors) return;
  const tidy = (text) => text.replace(/\s+/g, " ").trim();
  const words = (text) => new Set((text.toLowerCase().match(/[a-z_]{3,}/g) || []));
  const known = errors.map((each) => {
    const parts = tidy(each.what).split("…");
    const escaped = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return { ...each, pattern: new RegExp(escaped.join(".*?"), "i"), fixed: parts.join("").length, words: words(each.what) };
  });
  function rate(each, text, asked) {
    if (each.fixed >= 8 && each.pattern.test(text)) return 1000 + each.fixed;
    let both = 0;
    asked.forEach((word) => { if (each.words.has(word)) both += 1; });
    return both < 2 && asked.size > 1 ? 0 : both / Math.sqrt(each.words.size || 1);
  }
  function show() {
    const text = tidy(box.value.replace(/^\s*error:\s*/, ""));
    found.replaceChildren();
    if (text.length < 3) return;
    const asked = words(text);
    const best = known.map((each) => [rate(each, text, asked), each]).filter(([figure]) => figure > 0);
    best.sort((a, b) => b[0] - a[0]);
    if (!best.length) found.textContent = "None of the errors that the code can tell is like that.";
    for (const [, each] of best.slice(0, 5)) {
      const entry = document.createElement("p");
      const link = document.createElement("a");
      link.href = each.at;
      link.textContent = each.what;
      const remedy = document.createElement("span");
      remedy.textContent = each.remedy === "…" ? "→ told below it, for the case at hand" : each.remedy ? "→ " + each.remedy : "";
      entry.append(link, document.createElement("br"), remedy);
      found.append(entry);
    }
  }
  box.addEventListener("input", show);
})();
