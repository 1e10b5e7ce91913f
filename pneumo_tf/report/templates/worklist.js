"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const body = $("#worklist tbody"), told = $("#told"), live = document.body.dataset.live;
  const texts = JSON.parse($("#texts").textContent), pictures = JSON.parse($("#pictures").textContent);
  const say = (key, values) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  let rows = [...body.rows], wantedRows = rows, selected = null;
  // A browser lays out a hundred rows at once where two thousand would take it half a second: more come as one
  // scrolls down, and all of them on paper.
  const PART = 100;
  let most = PART;
  const state = {group: "all", search: "", unread: false, column: "rank", down: false};
  const seen = remembered();

  const keys = {
    rank: row => Number(row.cells[0].textContent), id: row => row.cells[1].textContent.trim(),
    call: row => row.cells[2].textContent.trim(), reason: row => row.cells[5].textContent.trim(),
    probability: row => row.dataset.probability === "" ? -1 : Number(row.dataset.probability),
    since: row => Date.parse(row.dataset.since),
  };

  function name(row) { return row.cells[1].textContent.trim(); }

  // What was read is remembered by this browser; a page opened from disk may not be allowed to.
  function remembered() {
    try { return new Set(JSON.parse(localStorage.getItem("read") || "[]")); } catch { return new Set(); }
  }
  function remember() {
    try { localStorage.setItem("read", JSON.stringify([...seen])); } catch { /* for as long as the page is open */ }
  }

  function sort() {
    const key = keys[state.column], sign = state.down ? -1 : 1;
    const compare = new Intl.Collator(document.documentElement.lang, {numeric: true}).compare;
    const keyed = rows.map((row, place) => [key(row), place, row]);
    keyed.sort(([a, i], [b, j]) => sign * (typeof a === "string" ? compare(a, b) : a - b) || i - j);
    rows = keyed.map(([, , row]) => row);
    for (const head of document.querySelectorAll("#worklist thead th")) {
      const mine = $("button", head).dataset.column === state.column;
      head.setAttribute("aria-sort", mine ? (state.down ? "descending" : "ascending") : "none");
    }
    filter();
  }

  function filter() {
    const wanted = state.search.toLocaleLowerCase();
    wantedRows = rows.filter(row => (state.group === "all" || row.dataset.group === state.group)
      && (!wanted || row.textContent.toLocaleLowerCase().includes(wanted))
      && (!state.unread || !seen.has(name(row))));
    most = PART;
    draw();
    for (const button of document.querySelectorAll(".groups button"))
      button.setAttribute("aria-pressed", String(button.dataset.group === state.group));
    told.textContent = wantedRows.length === rows.length ? ""
      : say("shown", {shown: wantedRows.length, all: rows.length});
    keep();
  }

  function draw() { body.replaceChildren(...wantedRows.slice(0, most)); }

  // The state lies behind the # of the address, so that a page that is renewed stays as it was.
  function keep() {
    const kept = new URLSearchParams({g: state.group, q: state.search, u: Number(state.unread), c: state.column,
                                      d: Number(state.down), f: selected ? name(selected) : ""});
    history.replaceState(null, "", `#${kept}`);
  }
  function restore() {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (!kept.has("c")) return;
    Object.assign(state, {group: kept.get("g"), search: kept.get("q"), unread: kept.get("u") === "1",
                          column: keys[kept.get("c")] ? kept.get("c") : "rank", down: kept.get("d") === "1"});
    $("#search").value = state.search;
    $("#unread").checked = state.unread;
    return kept.get("f");
  }

  function pictureOf(row, kind) {
    if ("unreadable" in row.dataset) return "";
    if (live === "serve") return kind === "film" || row.dataset.overlay ? `${kind}/${row.dataset.key}` : "";
    const found = pictures[row.dataset.key];
    return found && found[kind] ? found[kind] : "";
  }

  function select(row, focus) {
    if (!row) return;
    if (selected) selected.removeAttribute("aria-selected");
    selected = row;
    row.setAttribute("aria-selected", "true");
    $("#viewer-title").textContent = name(row);
    $("#viewer-call").textContent = [row.cells[2].textContent.trim(), $("b", row.cells[3]).textContent,
                                     $("small", row.cells[3])?.textContent].filter(Boolean).join(" · ");
    const film = $("#stage-film img"), source = pictureOf(row, "film");
    film.hidden = !source;
    if (source) { film.src = source; film.alt = say("alt", {name: name(row)}); } else film.removeAttribute("src");
    showOverlay();
    $("#viewer-told").textContent = source ? row.cells[5].textContent.trim() : say("gone", {name: name(row)});
    $("#read").setAttribute("aria-pressed", String(seen.has(name(row))));
    look.reset();
    if (focus) $(".open", row).focus({preventScroll: true});
    row.scrollIntoView({block: "nearest"});
    keep();
  }

  function showOverlay() {
    const source = pictureOf(selected, "overlay"), figure = $("#overlay");
    figure.hidden = !source;
    if (source) { const image = $("img", figure); image.src = source; image.alt = say("overlay", {name: name(selected)}); }
  }

  function move(step) {
    const place = Math.min(Math.max(wantedRows.indexOf(selected) + step, 0), wantedRows.length - 1);
    if (place >= most) { most = place + PART; draw(); }
    select(wantedRows[place], true);
  }

  function toggleRead() {
    if (!selected) return;
    const is = !seen.has(name(selected));
    seen[is ? "add" : "delete"](name(selected));
    selected.classList.toggle("done", is);
    $("#read").setAttribute("aria-pressed", String(is));
    remember();
  }

  // Zoom and place of both pictures; window and level of the film: a grey g becomes (g - level) / window + 1/2.
  const look = {
    zoom: 1, x: 0, y: 0, window: 255, level: 128, inverted: false,
    reset() { Object.assign(this, {zoom: 1, x: 0, y: 0, window: 255, level: 128, inverted: false}); this.show(); },
    show() {
      const least = 1 - this.zoom;
      this.x = Math.min(0, Math.max(least, this.x)); this.y = Math.min(0, Math.max(least, this.y));
      for (const image of document.querySelectorAll(".stage img"))
        image.style.transform = `translate(${100 * this.x}%, ${100 * this.y}%) scale(${this.zoom})`;
      const sign = this.inverted ? -1 : 1, slope = sign * 255 / this.window;
      for (const channel of $("#greys").children) {
        channel.setAttribute("slope", slope);
        channel.setAttribute("intercept", 0.5 - slope * this.level / 255);
      }
      $("#zoom").value = this.zoom; $("#window").value = this.window; $("#level").value = this.level;
      $("#invert").setAttribute("aria-pressed", String(this.inverted));
    },
    by(factor) {
      const before = this.zoom;
      this.zoom = Math.min(6, Math.max(1, this.zoom * factor));
      this.x = 0.5 - (0.5 - this.x) * this.zoom / before; this.y = 0.5 - (0.5 - this.y) * this.zoom / before;
      this.show();
    },
  };

  function ago() {
    const now = Date.now();
    for (const row of rows) {
      const time = $("time", row);
      const minutes = Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 60000));
      time.textContent = minutes < 60 ? say("minutes", {n: minutes})
        : minutes < 2880 ? say("hours", {n: Math.floor(minutes / 60)}) : say("days", {n: Math.floor(minutes / 1440)});
    }
  }

  $("#worklist thead").addEventListener("click", event => {
    const column = event.target.closest("button")?.dataset.column;
    if (!column) return;
    state.down = state.column === column ? !state.down : column === "probability";
    state.column = column;
    sort();
  });
  body.addEventListener("click", event => {
    const row = event.target.closest("tr");
    if (!row) return;
    select(row);
    if (matchMedia("(max-width: 1000px)").matches) $("#viewer").scrollIntoView();
  });
  $(".groups").addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button) { state.group = button.dataset.group; filter(); }
  });
  $("#search").addEventListener("input", event => { state.search = event.target.value; filter(); });
  $("#unread").addEventListener("change", event => { state.unread = event.target.checked; filter(); });
  for (const control of ["zoom", "window", "level"])
    $(`#${control}`).addEventListener("input", event => {
      if (control === "zoom") look.by(Number(event.target.value) / look.zoom);
      else { look[control] = Number(event.target.value); look.show(); }
    });
  $("#invert").addEventListener("click", () => { look.inverted = !look.inverted; look.show(); });
  $("#reset").addEventListener("click", () => look.reset());
  $("#read").addEventListener("click", toggleRead);

  for (const stage of document.querySelectorAll(".stage")) {
    stage.addEventListener("wheel", event => {
      event.preventDefault();
      look.by(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    }, {passive: false});
    stage.addEventListener("pointerdown", event => {
      const side = stage.clientWidth, began = [event.clientX, event.clientY, look.x, look.y, look.window, look.level];
      const drag = moved => {
        const across = (moved.clientX - began[0]) / side, down = (moved.clientY - began[1]) / side;
        // The right button, as in viewers of films: across is the window, down the level.
        if (event.button === 2) {
          look.window = Math.min(255, Math.max(16, began[4] + 255 * across));
          look.level = Math.min(255, Math.max(0, began[5] + 255 * down));
        } else { look.x = began[2] + across; look.y = began[3] + down; }
        look.show();
      };
      stage.setPointerCapture(event.pointerId);
      stage.addEventListener("pointermove", drag);
      stage.addEventListener("pointerup", () => stage.removeEventListener("pointermove", drag), {once: true});
    });
    stage.addEventListener("contextmenu", event => event.preventDefault());
  }

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input[type=search]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const sliding = event.target.matches("input[type=range]"), stage = $("#stage-film");
    const acts = {
      j: () => move(1), k: () => move(-1), x: toggleRead, i: () => $("#invert").click(), 0: () => look.reset(),
      "+": () => look.by(1.25), "-": () => look.by(0.8), "/": () => $("#search").focus(),
      "[": () => { look.window = Math.max(16, look.window - 16); look.show(); },
      "]": () => { look.window = Math.min(255, look.window + 16); look.show(); },
      ",": () => { look.level = Math.max(0, look.level - 8); look.show(); },
      ".": () => { look.level = Math.min(255, look.level + 8); look.show(); },
      ...(sliding ? {} : {ArrowDown: () => move(1), ArrowUp: () => move(-1),
        ArrowLeft: () => { look.x += 0.1; look.show(); }, ArrowRight: () => { look.x -= 0.1; look.show(); }}),
    };
    if (acts[event.key] && stage) { event.preventDefault(); acts[event.key](); }
  });

  async function upload(files) {
    const answer = $("#upload-told");
    for (const file of files) {
      answer.textContent = say("sending", {name: file.name});
      const content = new FormData();
      content.append("film", file, file.name);
      const reply = await fetch("films", {method: "POST", body: content, headers: {"X-Worklist": "1"}});
      const told = await reply.json();
      answer.textContent = told.text;
      if (!reply.ok) return;
      location.hash = `#${new URLSearchParams({g: "all", q: "", u: 0, c: state.column, d: Number(state.down), f: told.id})}`;
    }
    location.reload();
  }
  const drop = $("#drop");
  if (drop) {
    $("#upload").addEventListener("change", event => upload(event.target.files));
    for (const kind of ["dragover", "dragleave", "drop"])
      document.addEventListener(kind, event => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop") upload(event.dataTransfer.files);
      });
    $("#explain").addEventListener("click", async () => {
      const button = $("#explain"), row = selected;
      if (!row) return;
      const told = $("#viewer-told"), before = told.textContent;
      told.textContent = say("drawing", {name: name(row)});
      button.disabled = true;
      const reply = await fetch(`overlay/${row.dataset.key}`);
      button.disabled = false;
      if (row === selected) told.textContent = before;
      if (reply.ok) { row.dataset.overlay = "1"; if (row === selected) showOverlay(); }
      else told.textContent = (await reply.json()).text;
    });
  }
  // A watched folder: the page is renewed when nobody is at work in it.
  if (live) {
    const made = $("#moment").dateTime;
    let touched = 0;
    for (const kind of ["keydown", "pointerdown", "wheel", "input"])
      document.addEventListener(kind, () => { touched = Date.now(); }, {passive: true});
    setInterval(async () => {
      if (Date.now() - touched < 5000 || document.hidden) return;
      if (live === "serve") {
        const reply = await fetch("moment").catch(() => null);
        if (!reply?.ok || (await reply.text()) === made) return;
      }
      location.reload();
    }, 15000);
  }

  for (const row of rows) row.classList.toggle("done", seen.has(name(row)));
  const last = restore();
  sort();
  ago();
  setInterval(ago, 30000);
  select(rows.find(row => name(row) === last) || wantedRows[0]);
  new IntersectionObserver(([below]) => {
    if (below.isIntersecting && most < wantedRows.length) { most += PART; draw(); }
  }, {rootMargin: "600px"}).observe($("#below"));
  window.addEventListener("beforeprint", () => { most = rows.length; draw(); });
})();
