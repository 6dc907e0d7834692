"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const cards = data.items.map((item, number) => byId(`card-${number}`));
  const texts = data.items.map((item) => item.text.toLowerCase());
  // By the number of the item: {decision, label}.
  const decisions = new Map();

  // Only images that come near the window are decoded.
  const show = (image) => { image.src = data.images[image.dataset.image]; };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { show(entry.target); near.unobserve(entry.target); }
    }
  }, { rootMargin: "800px" });
  for (const image of document.querySelectorAll("img")) {
    image.addEventListener("load", () => {
      image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
    });
    near.observe(image);
  }

  // What was decided outlives the window, where the browser allows it.
  const restore = () => {
    const kept = JSON.parse(localStorage.getItem(data.key) || "{}");
    data.items.forEach((item, number) => {
      const found = Object.hasOwn(kept, item.name) ? kept[item.name] : null;
      if (!found || !["keep", "relabel", "delete"].includes(found.decision)) return;
      if (found.decision === "relabel" && !item.choices.includes(found.label)) return;
      decisions.set(number, { decision: found.decision, label: found.label || "" });
    });
  };
  const keep = () => {
    const pairs = [...decisions].map(([number, made]) => [data.items[number].name, made]);
    localStorage.setItem(data.key, JSON.stringify(Object.fromEntries(pairs)));
  };
  let stored = true;
  try { restore(); keep(); } catch { stored = false; }
  let downloaded = true;
  byId("storage").textContent = stored
    ? "Your decisions are kept in this browser until you come back."
    : "This browser keeps nothing for this page: download your decisions before you close it.";
  window.addEventListener("beforeunload", (event) => {
    if (!stored && !downloaded) event.preventDefault();
  });

  const draw = (number) => {
    const made = decisions.get(number);
    const card = cards[number];
    card.classList.remove("keep", "relabel", "delete");
    if (made) card.classList.add(made.decision);
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(made?.decision === button.dataset.decision));
    }
    if (made?.decision === "relabel") card.querySelector("select").value = made.label;
  };
  const count = () => {
    byId("progress").value = decisions.size;
    byId("progress-text").textContent = `${decisions.size} of ${cards.length} decided`;
    byId("download").disabled = decisions.size === 0;
  };
  const decide = (number, decision) => {
    if (decision === null) {
      decisions.delete(number);
    } else {
      const menu = cards[number].querySelector("select");
      if (decision === "relabel" && !menu) return false;
      decisions.set(number, { decision, label: decision === "relabel" ? menu.value : "" });
    }
    downloaded = false;
    if (stored) try { keep(); } catch { stored = false; }
    draw(number);
    count();
    return true;
  };

  const filters = ["text", "finding", "class", "decision"].map((name) => byId(`filter-${name}`));
  const shown = () => cards.filter((card) => !card.parentElement.hidden);
  const filter = () => {
    const [text, finding, label, decision] = filters.map((field) => field.value);
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    data.items.forEach((item, number) => {
      const made = decisions.get(number)?.decision ?? "none";
      cards[number].parentElement.hidden = !(
        words.every((word) => texts[number].includes(word))
        && (!finding || item.findings.includes(finding))
        && (!label || item.label === label)
        && (!decision || made === decision)
      );
    });
    const left = shown().length;
    byId("nothing").hidden = left > 0;
    byId("shown").textContent = left === cards.length ? "" : `${left} shown`;
    if (left && !shown().includes(cards[current])) point(cards.indexOf(shown()[0]));
  };

  // One card takes part in the tab order; the arrows choose which.
  let current = 0;
  const point = (number) => {
    cards[current].tabIndex = -1;
    current = number;
    cards[current].tabIndex = 0;
  };
  const go = (number) => { point(number); cards[number].focus(); };
  const move = (step) => {
    const visible = shown();
    if (!visible.length) return;
    const place = visible.indexOf(cards[current]);
    const active = document.activeElement?.closest(".card");
    const next = active ? Math.min(Math.max(place + step, 0), visible.length - 1) : Math.max(place, 0);
    go(cards.indexOf(visible[next]));
  };
  const columns = () => {
    const tops = shown().map((card) => card.parentElement.offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  };
  const keys = {
    j: () => move(1), k: () => move(-1), ArrowRight: () => move(1), ArrowLeft: () => move(-1),
    ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()),
    "/": () => filters[0].focus(),
  };
  const choices = { 1: "keep", 2: "relabel", 3: "delete", 0: null };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.matches("input, select")) event.target.blur();
    if (event.target.matches("input, select")) return;
    const active = event.target.closest(".card");
    if (active && event.key in choices) {
      event.preventDefault();
      if (decide(cards.indexOf(active), choices[event.key]) && event.key !== "0") move(1);
    } else if (event.key in keys && cards.length) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  cards.forEach((card, number) => {
    card.addEventListener("focusin", () => point(number));
    for (const button of card.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        decide(number, pressed ? null : button.dataset.decision);
      });
    }
    card.querySelector("select")?.addEventListener("change", () => decide(number, "relabel"));
    draw(number);
  });
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  // A spreadsheet would take these for formulas; `apply` takes the apostrophe off again.
  const safe = (text) => /^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  const quoted = (text) => `"${safe(text).replaceAll('"', '""')}"`;
  byId("download").addEventListener("click", () => {
    const rows = [["name", "decision", "label"]];
    for (const number of [...decisions.keys()].sort((a, b) => a - b)) {
      const { decision, label } = decisions.get(number);
      rows.push([data.items[number].name, decision, label]);
    }
    const text = rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
    const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = data.file_name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    downloaded = true;
  });

  count();
  if (cards.length) { point(0); filter(); }
})();
