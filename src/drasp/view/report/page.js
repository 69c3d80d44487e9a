"use strict";
// Fills the page from its data. Whatever comes from the program is put in as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const evidence = data.evidence;
const at = (id) => document.getElementById(id);

// Making elements.

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat());
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function sized(element, width, height) {
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  return element;
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const share = (x) => x.toFixed(4);

function number(x) {
  if (Number.isInteger(x)) return String(x).replace("-", "−");
  const text = Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(3)));
  return text.replace("-", "−");
}

// Tokens and coordinates in print.

/** A token as it is, or as a JSON string where it could not be seen. */
const tokenText = (token) => (/^[^\s\p{C}]+$/u.test(token) ? token : JSON.stringify(token));
const bdi = (text, attributes = {}) => el("bdi", attributes, text);

function label(basis, index) {
  if (basis.kind === "token") return tokenText(data.program.vocabulary[index]);
  if (basis.kind === "output") return tokenText(data.program.outputs[index]);
  if (basis.kind === "position") return String(index);
  if (basis.kind === "one") return "1";
  if (basis.kind !== "pair") return `[${index}]`;
  const [first, second] = basis.parts;
  return `(${label(first, Math.floor(index / second.size))}, ${label(second, index % second.size)})`;
}

/** A line of the program, coloured. Tokens stand apart, so that those written from right to left leave the rest in its order. */
function code(text) {
  const names = new Set(data.program.statements.map((statement) => statement.name));
  const parts = text.matchAll(/"(?:[^"\\]|\\.)*"|<\w+>|[A-Za-z_]\w*|[^"<A-Za-z_]+|./gsu);
  return Array.from(parts, ([part]) => {
    if (/^["<]./s.test(part)) return bdi(part, { class: "token" });
    if (names.has(part)) return el("span", { class: "name" }, part);
    if (/^(select|aggregate|project|table|compare|case|harden|sharpen|pair|norm|mlp|softmax|sigmoid)$/.test(part)) return el("span", { class: "word" }, part);
    return glued(part);
  }).flat();
}

/** An operator stays on the line of what stands before it, so that lines are broken behind it. */
function glued(text) {
  return text.split(/( [-+*/=<>]+(?= ))/).map((part, i) => (i % 2 ? el("span", { class: "glued" }, part) : part));
}

// Colours: blue above 0, orange below, the stronger the further.

function colours() {
  const style = getComputedStyle(document.documentElement);
  return ["--positive", "--negative"].map((name) => style.getPropertyValue(name).trim().split(" ").map(Number));
}

/** The value at which the colour is full: the largest, but where a few are far above the rest. */
function fullColour(values) {
  const sizes = Float64Array.from(values, Math.abs).filter((x) => x > 0 && x < Infinity).sort();
  if (!sizes.length) return 1;
  const usual = sizes[Math.floor(0.9 * (sizes.length - 1))];
  return sizes.at(-1) > 4 * usual ? 2 * usual : sizes.at(-1);
}

/** How opaque a colour is, by the size of the value in 255ths of the full one: small ones a little more than in proportion. */
const STRENGTHS = Uint8Array.from({ length: 256 }, (_, n) => 255 * (n / 255) ** 0.8);

/** A canvas of one pixel a cell, drawn larger; `value(row, column)`, `say(row, column)` for the hint. */
function cells(rows, columns, width, height, full, value, say) {
  const canvas = el("canvas", { width: columns, height: rows, "aria-hidden": "true" });
  const image = new ImageData(columns, rows);
  const [positive, negative] = colours();
  for (let r = 0, p = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, p += 4) {
      const x = value(r, c);
      if (!x) continue;
      const colour = x > 0 ? positive : negative;
      image.data[p] = colour[0];
      image.data[p + 1] = colour[1];
      image.data[p + 2] = colour[2];
      image.data[p + 3] = STRENGTHS[Math.min(255, Math.round((255 * Math.abs(x)) / full))];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    const r = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const c = Math.floor(((event.clientX - box.left) / box.width) * columns);
    if (r >= 0 && r < rows && c >= 0 && c < columns) hint(event, say(r, c));
  });
  canvas.addEventListener("mouseleave", () => (at("tip").hidden = true));
  const box = el("div", { class: "grid" }, sized(canvas, columns * width, rows * height));
  if (Math.min(width, height) >= 6) box.append(sized(gridLines(width, height), columns * width, rows * height));
  return box;
}

/** Cells that can also be gone through by the arrow keys, called `name`. */
function walked(box, rows, columns, say, name) {
  let [r, c] = [0, 0];
  const tell = () => {
    const { left, top, width, height } = box.getBoundingClientRect();
    hint({ clientX: left + ((c + 0.5) / columns) * width, clientY: top + ((r + 0.5) / rows) * height }, say(r, c));
  };
  for (const [key, value] of Object.entries({ tabindex: 0, role: "img", "aria-label": `${name}; arrow keys go through its cells` })) box.setAttribute(key, value);
  box.addEventListener("focus", tell);
  box.addEventListener("blur", () => (at("tip").hidden = true));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    [r, c] = [Math.min(rows - 1, Math.max(0, r + step[0])), Math.min(columns - 1, Math.max(0, c + step[1]))];
    tell();
  });
  return box;
}

/** Thin lines between the cells. */
function gridLines(width, height) {
  const lines = el("div", { class: "lines" });
  lines.style.backgroundSize = `${width}px ${height}px`;
  return lines;
}

function hint(event, text) {
  const tip = at("tip");
  tip.textContent = text;
  tip.hidden = false;
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
}

/** Labels of rows, as many as there is room for. */
function rowLabels(labels, height) {
  const every = Math.ceil(12 / height);
  const made = labels.map((text, r) => (r % every ? null : placed(bdi(text, { title: text }), r * height, Math.max(height, 12))));
  const box = el("div", { class: "row-labels" }, ...made.filter(Boolean));
  box.style.height = `${labels.length * height}px`;
  box.style.setProperty("--letters", Math.min(longest(labels), WIDEST_LABELS));
  return box;
}

function placed(element, top, height) {
  element.style.top = `${top}px`;
  element.style.height = element.style.lineHeight = `${height}px`;
  return element;
}

// The program: its lines, and the panel that shows one of them.

const statements = data.program.statements;
const byName = new Map(statements.map((statement) => [statement.name, statement]));
let program = null;
let model = null;
let chosen = null;
let wholeOperator = false;

/** What a statement reads: variables, selectors, projections. */
function readsOf(statement) {
  const variables = statement.reads.flatMap(({ variable, over }) => (over === null ? [variable] : [variable, over]));
  return [...new Set([...variables, ...(statement.selectors ?? []), ...(statement.logits ?? [])])];
}

function listing() {
  const marks = (name) => [...(data.size.opaque.includes(name) ? ["opaque"] : []), ...(evidence?.marks[name] ?? [])];
  const whole = evidence?.bands.length ? Math.min(...evidence.bands.map((band) => band.match.accuracy)) : null;
  const lines = statements.map((statement) => {
    const without = evidence?.lines[statement.name];
    const line = el(
      "li",
      { role: "option", tabindex: -1, "aria-selected": "false", id: `line-${statement.name}` },
      el("code", {}, ...code(statement.text)),
      el("span", { class: "caption" }, ...code(statement.caption), ...marks(statement.name).map((mark) => el("em", {}, ` ${mark}`))),
      without === undefined ? "" : cost(whole, without),
    );
    for (const event of ["mouseenter", "focus"]) line.addEventListener(event, () => choose(statement));
    return line;
  });
  at("listing").append(...lines);
  at("listing").setAttribute("role", "listbox");
  at("listing").classList.toggle("without-costs", !Object.keys(evidence?.lines ?? {}).length);
  at("listing").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && lines[lines.findIndex((line) => line.id === `line-${chosen.name}`) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

/** What a line's removal costs, as a bar: predictions that change, in older evidence match that is lost. */
function cost(whole, [without, stays]) {
  const lost = stays === null ? Math.max(0, whole - without) : 1 - stays;
  const bar = el("span", { class: "bar" }, el("i"));
  bar.firstChild.style.width = `${100 * lost}%`;
  const text = stays === null ? `match without it ${without.toFixed(3)}` : `${percent(stays)} of predictions stay without it`;
  return el("span", { class: "cost", title: `match in the worst length band: ${share(whole)} with this line, ${share(without)} without it` }, bar, text);
}

function choose(statement) {
  if (chosen !== statement) wholeOperator = false;
  chosen = statement;
  const reads = new Set(readsOf(statement));
  for (const other of statements) {
    const line = at(`line-${other.name}`);
    line.setAttribute("aria-selected", String(other === statement));
    line.tabIndex = other === statement ? 0 : -1;
    line.classList.toggle("read", reads.has(other.name));
  }
  panel();
}

function panel() {
  const statement = chosen;
  const readers = statements.filter((other) => readsOf(other).includes(statement.name)).map((other) => other.name);
  const names = (list) => list.map((name, i) => [i ? ", " : "", el("code", {}, name)]).flat();
  const reads = readsOf(statement);
  at("panel").replaceChildren(
    el("h3", {}, el("code", {}, statement.name), ` ${KINDS[statement.kind]}`),
    el(
      "p",
      { class: "small" },
      ...(reads.length ? ["reads ", ...names(reads)] : ["reads nothing"]),
      ...(readers.length ? ["; read by ", ...names(readers)] : []),
    ),
    ...(statement.op === undefined ? onInput(statement) : operator(statement)),
  );
}

const KINDS = {
  select: "where to look",
  aggregate: "what is found there",
  project: "for and against each token",
  prediction: "what is predicted",
  norm: "a scale",
  mlp: "the model's MLP",
  table: "a lookup",
  harden: "the largest coordinate",
  sharpen: "a power",
  pair: "a pair",
  compare: "a comparison",
  compute: "a formula",
  case: "a formula for each case",
};

function operator(statement) {
  const matrix = program?.tensors[statement.op];
  if (!program) return [];
  if (!matrix) return [el("p", {}, "This operator is too large to be shown in the page.")];
  const bases = statement.reads.map(({ variable }) => data.program.bases[variable]);
  const { output } = data.program;
  const derived = { kind: "derived", size: matrix.columns };
  const text = ({ variable, over }) => (over === null ? variable : `${variable} / ${over}`);
  const [first, second] = statement.reads;
  const sides = {
    select: () => [side(bases[0], `q: ${text(first)}`), side(bases[1], `k: ${text(second)}`)],
    project: () => [side(bases[0], `inp: ${text(first)}`), side(output, output.kind === "token" ? "out: next token" : "out")],
    table: () => [side(bases[0], `inp: ${text(first)}`), side(derived, "result")],
    compare: () => [side(bases[0], `x: ${text(first)}`), side(bases[1], `y: ${text(second)}`)],
    norm: () => [joinedSide(bases, statement.reads.map(text).join(", ")), joinedSide(bases, statement.reads.map(text).join(", "))],
  }[statement.kind]();
  return [heatMap(matrix, ...sides)];
}

/** One side of an operator: how many coordinates, what each and all are called, and which are shown where there are too many. */
function side(basis, name) {
  return { size: basis.size, name, label: (i) => label(basis, i), tail: basis.kind === "token" ? 8 : 0 };
}

function joinedSide(bases, name) {
  const labels = bases.flatMap((basis) => Array.from({ length: Math.min(basis.size, SHOWN_AT_MOST) }, (_, i) => label(basis, i)));
  return { size: bases.reduce((sum, basis) => sum + basis.size, 0), name, label: (i) => labels[i] ?? `[${i}]`, tail: 0 };
}

const WIDEST_LABELS = 18; // letters

const longest = (labels) => labels.reduce((most, text) => Math.max(most, [...text].length), 1);

/** The pixels that there are for the cells of a map in the panel, beside the labels of its rows. */
const roomForCells = (labels) => Math.max(100, Math.min(300, at("panel").clientWidth - 34 - 7 * Math.min(longest(labels), WIDEST_LABELS)));

const SHOWN_AT_ONCE = 25;
const SHOWN_AT_MOST = 1000;

/** The coordinates of a side that are shown; null stands for those left out. */
function shownIndices({ size, tail }) {
  const all = Array.from({ length: Math.min(size, SHOWN_AT_MOST) }, (_, i) => i);
  if (wholeOperator || size <= SHOWN_AT_ONCE) return all;
  return [...all.slice(0, SHOWN_AT_ONCE - tail - 1), null, ...Array.from({ length: tail }, (_, i) => size - tail + i)];
}

/** An operator: rows and columns with their labels. Large ones are cropped until the reader asks for all. */
function heatMap(matrix, rowSide, columnSide) {
  const rows = shownIndices(rowSide);
  const columns = shownIndices(columnSide);
  const gap = (r, c) => rows[r] === null || columns[c] === null;
  const value = (r, c) => (gap(r, c) ? 0 : matrix.data[rows[r] * matrix.columns + columns[c]]);
  const shown = rows.flatMap((_, r) => columns.flatMap((_, c) => (gap(r, c) ? [] : [value(r, c)])));
  const called = (of, indices) => indices.map((i) => (i === null ? "⋯" : of.label(i)));
  const [rowTexts, columnTexts] = [called(rowSide, rows), called(columnSide, columns)];
  const full = fullColour(shown);
  const width = Math.max(1, Math.min(24, Math.floor(roomForCells(rowTexts) / columns.length)));
  const height = Math.max(1, Math.min(20, Math.floor((columns.length > 12 ? 300 : 240) / rows.length), width * 3));
  const say = (r, c) => (gap(r, c) ? "left out" : `${rowSide.name} = ${rowTexts[r]}\n${columnSide.name} = ${columnTexts[c]}\nvalue ${number(value(r, c))}`);
  const kept = (indices) => indices.filter((i) => i !== null).length;
  const cropped = kept(rows) < rowSide.size || kept(columns) < columnSide.size;
  const large = Math.max(rowSide.size, columnSide.size) > SHOWN_AT_ONCE;
  const least = shown.reduce((a, b) => Math.min(a, b), Infinity);
  const most = shown.reduce((a, b) => Math.max(a, b), -Infinity);
  const toggle = el("button", { type: "button", onclick: showOtherwise }, wholeOperator ? "Show less" : "Show all");
  const name = `operator, ${rowSide.size} by ${columnSide.size}, values from ${number(least)} to ${number(most)}`;
  const drawn = cells(rows.length, columns.length, width, height, full, value, say);
  const clipped = Math.max(Math.abs(least), Math.abs(most)) > full;
  return el(
    "figure",
    { class: "heat" },
    el("div", { class: "axis" }, columnSide.name, " →"),
    el("div", { class: "map" }, columnLabels(columnTexts, width), rowLabels(rowTexts, height), walked(drawn, rows.length, columns.length, say, name)),
    el("div", { class: "axis" }, "↑ ", rowSide.name),
    el(
      "figcaption",
      {},
      legend(),
      `${number(least)} to ${number(most)}${clipped ? `; full colour from ±${number(full)} on` : ""}`,
      cropped ? `; ${kept(rows)} × ${kept(columns)} of ${rowSide.size} × ${columnSide.size} ` : " ",
      large ? toggle : "",
    ),
  );
}

/** All of the operator, or again what is shown at once. */
function showOtherwise() {
  wholeOperator = !wholeOperator;
  panel();
  at("panel").querySelector("button").focus();
}

const OPERATORS_IN_PRINT = 40;
const PAPER = 660; // pixels of its width that are surely printed on

/** An operator as it stands on paper, where there is no panel. */
function printedOperator(statement) {
  return el("div", {}, el("h3", {}, el("code", {}, statement.name), ` ${KINDS[statement.kind]}`), ...operator(statement));
}

function legend() {
  return el("span", { class: "legend", "aria-hidden": "true" });
}

function columnLabels(labels, width) {
  const every = Math.ceil(12 / width);
  const upright = longest(labels) * 7 + 2 <= width * every;
  const box = el("div", { class: upright ? "column-labels" : "column-labels turned" });
  labels.forEach((text, c) => {
    if (c % every) return;
    const made = bdi(text, { title: text });
    made.style.left = `${c * width}px`;
    made.style[upright ? "width" : "height"] = upright ? `${width * every}px` : "";
    if (!upright) made.style.width = `${Math.max(13, width)}px`;
    box.append(made);
  });
  return sized(box, labels.length * width, upright ? 16 : Math.min(72, longest(labels) * 6.5 + 6));
}

/** A line without an operator: its value, or its attention, on the input of "Run it". */
function onInput(statement) {
  if (!state.run) return [];
  const { run, ids } = state;
  const time = ids.length;
  const tokens = ids.map((id) => label(data.program.bases.token, id));
  const cell = (labels) => Math.max(1, Math.min(18, Math.floor(roomForCells(labels) / time)));
  const titled = (text) => el("p", { class: "small" }, text);
  if (statement.kind === "aggregate") {
    const width = cell(tokens);
    return [
      titled("Attention on the input of “Run it”"),
      el("div", { class: "axis" }, "key: where it looks →"),
      el("div", { class: "map" }, columnLabels(tokens, width), rowLabels(tokens, width), attentionCells(run.attention[statement.name], width, width)),
      el("div", { class: "axis" }, "↑ query: the position that looks"),
    ];
  }
  const rows = valueRows(valueOf(statement), basisOf(statement), statement.kind === "prediction");
  const width = cell(rows.labels);
  return [
    titled("On the input of “Run it”, position by position"),
    el("div", { class: "map" }, columnLabels(tokens, width), rowLabels(rows.labels, 14), cells(rows.labels.length, time, width, 14, rows.full, rows.value, rows.say)),
  ];
}

// Running it.

const state = { ids: [], first: 0, place: 0, run: null, model: null, remembering: 0 };

/** What a statement gives on the input. */
function valueOf(statement) {
  if (statement.kind === "prediction") return state.run.logits;
  return statement.kind === "project" ? state.run.projections[statement.name] : state.run.vectors[statement.name];
}

function basisOf(statement) {
  return data.program.bases[statement.name] ?? data.program.output;
}

const ROWS_AT_ONCE = 12;

/** The coordinates of a variable that are worth a row, the strongest where there are many. */
function valueRows(vector, basis, every) {
  const { size } = vector;
  const values = Interpreter.dense(vector);
  const most = new Float64Array(size);
  for (let i = 0; i < values.length; i += size) {
    for (let c = 0; c < size; c++) most[c] = Math.max(most[c], Math.abs(values[i + c]));
  }
  const live = [...most.keys()].filter((c) => (every && size <= ROWS_AT_ONCE) || most[c] > 1e-3 || size <= 2);
  const strongest = live.toSorted((a, b) => most[b] - most[a] || a - b).slice(0, ROWS_AT_ONCE);
  const chosenRows = (strongest.length ? strongest : [0]).toSorted((a, b) => a - b);
  const shown = Float64Array.from({ length: state.ids.length * chosenRows.length }, (_, n) => values[Math.floor(n / chosenRows.length) * size + chosenRows[n % chosenRows.length]]);
  return {
    labels: chosenRows.map((c) => label(basis, c)),
    full: fullColour(shown),
    value: (r, i) => values[i * size + chosenRows[r]],
    say: (r, i) => `${positionText(i)}\n${label(basis, chosenRows[r])}: ${number(values[i * size + chosenRows[r]])}`,
    left: Math.max(0, live.length - chosenRows.length),
    zero: size - Math.max(live.length, 1),
  };
}

function positionText(i) {
  return `position ${i + state.first}, ${label(data.program.bases.token, state.ids[i])}`;
}

/** Attention on the input: queries are rows, keys columns; the query at the chosen position is marked. */
function attentionCells(weights, width, height) {
  const time = state.ids.length;
  const weight = (query, key) => weights[query * time + key];
  const say = (query, key) => `query: ${positionText(query)}\nkey: ${positionText(key)}\nweight ${number(weight(query, key))}`;
  const box = cells(time, time, width, height, 1, weight, say);
  const mark = el("div", { class: "query", "data-height": height });
  markQuery(mark);
  box.append(mark);
  return walked(box, time, time, say, "attention on the input, a row each query, a column each key");
}

function markQuery(mark) {
  mark.style.top = `${state.place * mark.dataset.height}px`;
  mark.style.height = `${Math.max(3, mark.dataset.height)}px`;
}

/** The tokens of the text field, `<bos>` in front where it is missing, or what is wrong with them. */
function parsed(text) {
  const { vocabulary, positions } = data.program;
  const words = text.split(/\s+/).filter(Boolean);
  if (vocabulary.includes("<bos>") && words[0] !== "<bos>") words.unshift("<bos>");
  const first = Number(at("first").value);
  const unknown = words.find((word) => !vocabulary.includes(word));
  if (unknown !== undefined) return { problem: `Unknown token ${unknown}. The program's tokens are: ${vocabularyText()}` };
  if (!words.length) return { problem: "Type at least one token." };
  if (!Number.isInteger(first) || first < 0) return { problem: "The first position is a whole number from 0 on." };
  if (first + words.length > positions) {
    return { problem: `${plural(words.length, "token")} from position ${first} on reach beyond the program's ${positions} positions.` };
  }
  return { ids: words.map((word) => vocabulary.indexOf(word)), first };
}

function vocabularyText() {
  const { vocabulary } = data.program;
  const shown = vocabulary.length <= 16 ? vocabulary : [...vocabulary.slice(0, 6), "…", ...vocabulary.slice(-6)];
  return shown.map((token) => (token.length > 24 ? `${token.slice(0, 24)}…` : tokenText(token))).join("  ");
}

/** What is typed into an example begins at position 0 again: where the example began was its own. */
function edited() {
  if (exampleShown() && Number(at("first").value) === state.first) at("first").value = 0;
  typed();
}

function typed() {
  const found = parsed(at("tokens").value);
  at("problem").textContent = found.problem ?? "";
  at("tokens").setAttribute("aria-invalid", Boolean(found.problem));
  at("result").classList.toggle("stale", Boolean(found.problem));
  if (!found.problem) show(found.ids, found.first);
}

const textOf = (ids) => ids.map((id) => data.program.vocabulary[id]).join(" ");

/** The address of the page leads to the sequence that it shows; browsers take only so many changes in a while. */
function remember() {
  clearTimeout(state.remembering);
  state.remembering = setTimeout(() => {
    const link = new URLSearchParams({ input: textOf(state.ids), ...(state.first && { first: state.first }) });
    history.replaceState(null, "", `#${link}`);
  }, 200);
}

/** Shows the sequence that the address names, if it names one. */
function recall() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (!link.has("input")) return;
  at("tokens").value = link.get("input");
  at("first").value = link.get("first") ?? 0;
  typed();
}

/** Puts a sequence into the text field and runs it. */
function put(ids, first) {
  at("tokens").value = textOf(ids);
  at("first").value = first;
  at("problem").textContent = "";
  at("tokens").removeAttribute("aria-invalid");
  at("result").classList.remove("stale");
  show(ids, first);
}

function show(ids, first) {
  const began = performance.now();
  if (state.run) remember();
  const follow = state.place >= state.ids.length - 1;
  Object.assign(state, { ids, first });
  const positions = ids.map((_, i) => i + first);
  state.run = Interpreter.evaluate(program, ids, positions);
  state.model = model && Model.evaluate(model, ids, positions);
  state.place = follow ? ids.length - 1 : Math.min(state.place, ids.length - 1);
  at("position").max = ids.length - 1;
  strips();
  point(state.place);
  if (chosen && chosen.op === undefined) panel();
  at("result").dataset.milliseconds = performance.now() - began;
}

function exampleShown() {
  const same = (example) => example.first === state.first && String(example.ids) === String(state.ids);
  return evidence?.examples.find(same) ?? null;
}

/** What the model says on what is shown, `{live, answers}`: at every position where it is in the page; else where it was recorded, if it was.
 * An answer is a list of ids.
 */
function modelSaid() {
  if (state.model) return { live: true, answers: Interpreter.predictions(data.program, state.model.logits).map((answer) => [answer].flat()) };
  const example = exampleShown();
  return example && { live: false, answers: example.model };
}

let cellWidth = 24;

function strips() {
  const { ids, run } = state;
  const { vocabulary, outputs, predict } = data.program;
  const time = ids.length;
  const predicted = Interpreter.predictions(program, run.logits);
  const said = modelSaid();
  const tokens = ids.map((id) => tokenText(vocabulary[id]));
  const words = predict === "next-token" ? predicted.map((id) => tokenText(outputs[id])) : [];
  cellWidth = Math.max(20, Math.min(longest([...tokens, ...words]) * 7.3 + 8, time > 60 ? 30 : 64));
  const box = at("strips");
  box.style.setProperty("--cell", `${cellWidth}px`);
  const blocks = [
    el("div", { class: "head" }, textRow("position", ids.map((_, i) => String(i + state.first)), "place"), textRow("token", tokens, "token")),
    ...predictionBlocks(predicted, words, said),
    ...statements.flatMap((statement) => statementBlocks(statement)),
    ...modelBlocks(),
  ];
  const scrolled = [box.scrollLeft, box.scrollTop];
  box.replaceChildren(el("div", { class: "wide" }, el("div", { id: "cursor" }), ...blocks));
  [box.scrollLeft, box.scrollTop] = scrolled;
  agreement(predicted, said);
}

function textRow(name, texts, kind) {
  const made = texts.map((text) => el("bdi", { class: "cell", title: text }, text));
  return el("div", { class: `strip ${kind}` }, el("div", { class: "row-labels" }, name), el("div", { class: "cells" }, ...made));
}

function gridBlock(labels, height, full, value, say) {
  return el("div", { class: "strip" }, rowLabels(labels, height), cells(labels.length, state.ids.length, cellWidth, height, full, value, say));
}

function title(...parts) {
  return el("div", { class: "strip-title" }, el("span", {}, ...parts));
}

const sameAnswer = (one, other) => String(one) === String(other);

function predictionBlocks(predicted, words, model) {
  const answers = (i) => model?.answers[i];
  const who = model?.live ? "model" : "model, recorded";
  const marks = predicted.map((said, i) => (answers(i) ? (sameAnswer(said, answers(i)) ? "✓" : "✗") : "·"));
  if (data.program.predict === "next-token") {
    const recorded = predicted.map((_, i) => (answers(i) ? label(data.program.output, answers(i)[0]) : "·"));
    return [
      title(data.program.output.kind === "token" ? "The next token" : "The output"),
      textRow("program", words, "token predicted"),
      ...(model ? [textRow(who, recorded, "token predicted"), textRow("same", marks, "marks")] : []),
    ];
  }
  const ever = new Set([...predicted, ...Object.values(model?.answers ?? {})].flat());
  const rows = [...ever].toSorted((a, b) => a - b).slice(0, 40);
  const labels = rows.map((id) => label(data.program.output, id));
  const block = (sets, who) =>
    gridBlock(labels, 16, 1, (r, i) => (sets[i]?.includes(rows[r]) ? 1 : 0), (r, i) => `${positionText(i)}\n${who}: ${labels[r]} ${sets[i]?.includes(rows[r]) ? "may" : "may not"} come next`);
  const recorded = predicted.map((_, i) => answers(i));
  return [
    title("What may come next: the program"),
    block(predicted, "program"),
    ...(model ? [title(`What may come next: the ${who}`), block(recorded, "model"), textRow("same", marks, "marks")] : []),
  ];
}

function agreement(predicted, model) {
  at("agreement").replaceChildren(...(model ? [agreementText(predicted, model)] : []));
}

function agreementText(predicted, { live, answers }) {
  const scored = Object.entries(answers);
  const same = scored.filter(([i, answer]) => sameAnswer(predicted[i], answer)).length;
  const where = plural(scored.length, "position");
  return `Program and model say the same at ${same === scored.length ? "all" : `${same} of the`} ${where}${live ? "" : " that count"}.`;
}

/** What the heads of the model attend to, where it is in the page. */
function modelBlocks() {
  if (!state.model) return [];
  const maps = state.model.attention.flatMap((heads, layer) => heads.map((weights, head) => ({ name: `head ${layer}.${head}`, weights })));
  return maps.slice(0, HEADS_AT_MOST).flatMap(({ name, weights }) => [title("The model: ", el("b", {}, name)), ...attentionBlocks(weights)]);
}

const HEADS_AT_MOST = 16;

function attentionBlocks(weights) {
  const height = Math.max(2, Math.min(15, Math.floor(300 / state.ids.length)));
  const labels = state.ids.map((id, j) => `${j + state.first} ${label(data.program.bases.token, id)}`);
  return [
    title(el("small", {}, "attention: query ↓ (the position that looks), key → (where it looks)")),
    el("div", { class: "strip" }, rowLabels(labels, height), attentionCells(weights, cellWidth, height)),
  ];
}

function statementBlocks(statement) {
  const { run } = state;
  if (statement.kind === "select") return [];
  if (statement.kind === "prediction" && statement.logits.length === 1) return [];
  const head = title(el("code", {}, ...code(statement.kind === "prediction" ? `${statement.logits.join(" + ")}` : statement.text)), " ", el("small", {}, ...code(statement.kind === "prediction" ? "the sum: what is above 0 or largest is predicted" : statement.caption)));
  const rows = valueRows(valueOf(statement), basisOf(statement), false);
  const notes = [rows.left ? `${rows.left} weaker left out` : "", rows.zero > 0 ? `${plural(rows.zero, "coordinate")} near 0 left out` : ""].filter(Boolean);
  const note = notes.length ? ` (${notes.join("; ")})` : "";
  const values = gridBlock(rows.labels, 16, rows.full, rows.value, rows.say);
  if (statement.kind !== "aggregate") return [head, ...(note ? [title(el("small", {}, note.slice(2, -1)))] : []), values];
  return [
    head,
    ...attentionBlocks(run.attention[statement.name]),
    title(el("small", {}, `what it finds${note}`)),
    values,
  ];
}

/** Marks a position and says in words what is there. */
function point(place) {
  state.place = place;
  for (const mark of document.querySelectorAll(".query")) markQuery(mark);
  at("position").value = place;
  at("position").setAttribute("aria-valuetext", positionText(place));
  const cursor = at("cursor");
  cursor.style.left = `calc(var(--labels) + ${place * cellWidth}px)`;
  const { vocabulary, outputs } = data.program;
  const predicted = Interpreter.predictions(program, state.run.logits)[place];
  const said = (ids) => (data.program.predict === "next-token" ? [ids].flat().map((id) => tokenText(outputs[id])).join("") : `{${ids.map((id) => tokenText(outputs[id])).join(", ")}}`);
  const answer = modelSaid()?.answers[place];
  const entries = statements.filter((statement) => statement.kind !== "select" && !(statement.kind === "prediction" && statement.logits.length === 1));
  at("readout").replaceChildren(
    el("p", {}, `Position ${place + state.first}, token `, bdi(tokenText(vocabulary[state.ids[place]]), { class: "token" })),
    el("p", {}, "program: ", bdi(said(predicted), { class: "token" }), ...(answer ? [el("br"), "model: ", bdi(said(answer), { class: "token" })] : [])),
    el("dl", {}, ...entries.flatMap((statement) => [el("dt", {}, statement.kind === "prediction" ? "sum" : statement.name), el("dd", {}, ...spoken(statement, place))])),
  );
}

/** A variable at one position in words: its strongest coordinates, and where it looks. */
function spoken(statement, place) {
  const vector = valueOf(statement);
  const values = Interpreter.dense(vector).subarray(place * vector.size, (place + 1) * vector.size);
  const basis = basisOf(statement);
  const parts = strongest(values, 8, 1e-3).map((c) => [bdi(label(basis, c), { class: "token" }), ` ${number(values[c])}  `]);
  const made = parts.length ? parts.flat() : ["0"];
  if (statement.kind !== "aggregate") return made;
  const time = state.ids.length;
  const weights = state.run.attention[statement.name].subarray(place * time, (place + 1) * time);
  const looks = strongest(weights, 4, 0.005).map((j) => [bdi(label(data.program.bases.token, state.ids[j]), { class: "token" }), `@${j + state.first} ${weights[j].toFixed(2)}  `]);
  return [...made, el("br"), el("small", {}, "looks at ", ...looks.flat())];
}

function strongest(values, count, least) {
  const order = [...values.keys()].filter((c) => Math.abs(values[c]) > least);
  return order.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, count).sort((a, b) => a - b);
}

function examplesList() {
  if (!evidence?.examples.length) return;
  const { vocabulary } = data.program;
  const rows = evidence.examples.map((example) => {
    const text = example.ids.map((id) => tokenText(vocabulary[id])).join(" ");
    const cut = text.length > 90 ? `${text.slice(0, 90)}…` : text;
    const button = el("button", { type: "button", title: "run this one", onclick: () => put(example.ids, example.first) }, bdi(cut));
    button.disabled = !program.complete;
    return el("li", {}, button, el("span", { class: "small" }, exampleText(example)));
  });
  at("examples").append(el("p", {}, "Sequences of the task, with what the model was recorded to say:"), el("ul", {}, ...rows));
}

function exampleText(example) {
  if (!program.complete) return "";
  const run = Interpreter.evaluate(program, example.ids, example.ids.map((_, i) => i + example.first));
  const predicted = Interpreter.predictions(program, run.logits);
  const scored = Object.entries(example.model);
  const same = scored.filter(([i, answer]) => sameAnswer(predicted[i], answer)).length;
  return `same answer at ${same} of ${plural(scored.length, "position")}`;
}

function palette() {
  const { vocabulary } = data.program;
  const shown = vocabulary.length <= 24 ? [...vocabulary.keys()] : [...Array(10).keys(), ...Array.from({ length: 6 }, (_, i) => vocabulary.length - 6 + i)];
  const buttons = shown.map((id, n) => [
    n && shown[n - 1] !== id - 1 ? " … " : "",
    el("button", { type: "button", title: `append ${tokenText(vocabulary[id])}`, onclick: () => append(id) }, bdi(tokenText(vocabulary[id]))),
  ]);
  at("palette").append(...buttons.flat());
}

function append(id) {
  const first = exampleShown() ? 0 : state.first;
  if (first + state.ids.length < data.program.positions) put([...state.ids, id], first);
}

/** A sequence to begin with where none was recorded: a few tokens; behind `<sep>` what the program says follows. */
function firstSequence() {
  const { vocabulary, positions, predict } = data.program;
  const plain = [...vocabulary.keys()].filter((id) => !/^<\w+>$/.test(vocabulary[id]));
  const [start, separator, end] = ["<bos>", "<sep>", "<eos>"].map((token) => vocabulary.indexOf(token));
  const ids = [start, ...[2, 0, 3, 1].map((i) => plain[i] ?? -1)].filter((id) => id >= 0);
  if (predict === "next-token" && separator >= 0) {
    ids.push(separator);
    while (ids.length < Math.min(12, positions)) {
      const run = Interpreter.evaluate(program, ids, [...ids.keys()]);
      const next = Interpreter.predictions(program, run.logits).at(-1);
      if (next === end) break;
      ids.push(next);
    }
  }
  return ids.length ? ids.slice(0, positions) : [0];
}

function tryIt() {
  examplesList();
  if (!program.complete) {
    for (const id of ["form", "palette", "result"]) at(id).hidden = true;
    at("try-intro").textContent = `This program is too large to run in the page: its operators would make the file larger than 2 MB. "drasp run" runs it.`;
    return;
  }
  palette();
  at("tokens").addEventListener("input", edited);
  at("first").addEventListener("input", typed);
  at("form").addEventListener("submit", (event) => event.preventDefault());
  at("save").addEventListener("click", save);
  at("position").addEventListener("input", () => point(Number(at("position").value)));
  at("strips").addEventListener("click", (event) => {
    const start = at("strips").querySelector(".cells").getBoundingClientRect().left;
    const place = Math.floor((event.clientX - start) / cellWidth);
    if (place >= 0 && place < state.ids.length) point(place);
  });
  at("strips").addEventListener("keydown", (event) => {
    const next = state.place + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN);
    if (!(next >= 0 && next < state.ids.length)) return;
    event.preventDefault();
    point(next);
    const box = at("strips");
    const left = next * cellWidth;
    const room = box.clientWidth - box.querySelector(".row-labels").offsetWidth - cellWidth;
    box.scrollLeft = Math.min(left, Math.max(box.scrollLeft, left - room));
  });
  const short = evidence?.examples.filter((example) => example.ids.length <= 16).toSorted((a, b) => b.ids.length - a.ids.length);
  const example = short?.[0] ?? evidence?.examples[0];
  put(example?.ids ?? firstSequence(), example?.first ?? 0);
  recall();
  window.addEventListener("hashchange", recall);
}

// A picture to save.

const LINE = 20; // pixels
const LETTER = 7.3;

/** The lines of the program, and below them its attention on the input: a file that stands alone. */
function picture() {
  const tokens = state.ids.map((id) => label(data.program.bases.token, id));
  const texts = statements.map((statement) => statement.text);
  const averages = statements.filter((statement) => statement.kind === "aggregate");
  const cell = Math.max(2, Math.min(16, 240 / tokens.length));
  const size = LETTER * longest(tokens) + cell * tokens.length + 4 * LINE;
  const width = LINE + Math.max(LETTER * (longest(texts) + 2), size * Math.min(3, averages.length));
  const across = Math.max(1, Math.floor((width - LINE) / size));
  const place = (i) => `translate(${LINE + size * (i % across)} ${LINE * (texts.length + 2) + size * Math.floor(i / across)})`;
  const maps = averages.map(({ name }, i) => svg("g", { transform: place(i) }, ...mapPicture(name, tokens, cell)));
  const height = LINE * (texts.length + 2) + size * Math.ceil(averages.length / across);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": "monospace", "font-size": 12, fill: "#1d1f24" },
    svg("rect", { width, height, fill: "#fff" }),
    ...texts.map((text, i) => svg("text", { x: LINE, y: LINE * (i + 1.5) }, text)),
    ...maps,
  );
}

/** Attention of one average: queries are rows, keys columns. */
function mapPicture(name, tokens, cell) {
  const time = tokens.length;
  const weights = state.run.attention[name];
  const [left, top] = [LETTER * longest(tokens) + 1.5 * LINE, LETTER * longest(tokens) + 2 * LINE];
  const every = Math.ceil(11 / cell);
  const shown = tokens.flatMap((token, i) => (i % every ? [] : [[token, (i + 0.5) * cell + 4]]));
  const squares = Array.from(weights, (weight, n) => [weight, left + cell * (n % time), top + cell * Math.floor(n / time)]).filter(([weight]) => weight > 0.0005);
  return [
    svg("text", { x: left, y: LINE / 2, "font-weight": "bold" }, `${name}: attention`),
    svg("text", { x: left, y: 1.2 * LINE, "font-size": 10 }, "key →"),
    svg("text", { "font-size": 10, transform: `translate(10 ${top + 60}) rotate(-90)` }, "← query"),
    svg("rect", { x: left, y: top, width: cell * time, height: cell * time, fill: "#f3f1ec" }),
    ...shown.map(([token, at]) => svg("text", { x: left - 5, y: top + at, "text-anchor": "end" }, token)),
    ...shown.map(([token, at]) => svg("text", { transform: `translate(${left + at} ${top - 5}) rotate(-90)` }, token)),
    ...squares.map(([weight, x, y]) => svg("rect", { x, y, width: cell, height: cell, fill: "#1f5fae", "fill-opacity": weight.toFixed(3) })),
  ];
}

function save() {
  const file = new Blob([new XMLSerializer().serializeToString(picture())], { type: "image/svg+xml" });
  const link = el("a", { href: URL.createObjectURL(file), download: `${(evidence?.task ?? data.name).replace(/[^\w.-]+/g, "-")}.svg` });
  link.click();
  URL.revokeObjectURL(link.href);
}

// The evidence.

function table(head, rows, caption) {
  const cell = (content, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, content);
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption || "table" },
    el(
      "table",
      {},
      ...(caption ? [el("caption", {}, el("span", {}, caption))] : []),
      el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))),
    ),
  );
}

/** A share with its interval; of all inputs there is none, and where nobody knows what is right there is no share. */
function shareCell(found) {
  if (!found) return "–";
  const bar = el("span", { class: "bar" }, el("i"));
  bar.firstChild.style.width = `${100 * found.accuracy}%`;
  return el("span", { class: "share" }, el("b", {}, share(found.accuracy)), el("small", {}, found.low === found.high ? "" : ` [${share(found.low)}, ${share(found.high)}]`), bar);
}

function evidenceBody() {
  const body = at("evidence-body");
  if (!evidence) {
    body.append(el("p", {}, "This program comes without evidence: nothing is claimed about any model."));
    return;
  }
  body.append(el("p", {}, el("strong", {}, capital(evidence.verdict)), `. ${evidence.meaning} `, ...evidence.notes.map((note) => `${note} `)));
  if (evidence.bands.length) body.append(
    table(
      ["lengths", "the program agrees with the model", "best constant guess agrees", "best guess by the current token agrees", "the program is right on the task", "the model is right on the task", "sequences"],
      evidence.bands.map((band) => [
        band.lengths.join("–"),
        ...["match", "constant", "current_token", "task", "model_task"].map((key) => shareCell(band[key])),
        band.match.sequences.toLocaleString("en"),
      ]),
      "Share of whole sequences, fresh ones, on which the prediction is the same at every position that counts, with 95 % intervals. The two best guesses are what is trivial: a program must do better.",
    ),
  );
  if (evidence.frontier.length) body.append(frontier(evidence.frontier));
  for (const part of evidence.told) body.append(...told(part));
  body.append(
    el(
      "details",
      {},
      el("summary", {}, `How it was found: the passes, ${evidence.seconds.toFixed(1)} seconds in all`),
      table(
        ["pass", "seconds", "statements", "opaque", "match"],
        evidence.passes.map((step) => [step.name, step.seconds.toFixed(2), step.statements, step.opaque, share(step.match)]),
        "What each pass left, and its match on the sequences that the search chooses by.",
      ),
    ),
  );
}

/** One kind of evidence: its question, the answers in sentences, and folded away how they were found and the figures as they are saved. */
function told({ title, question, answers, how, raw }) {
  const answer = ([about, text]) => el("p", {}, ...(about ? [el("strong", {}, `${about}: `), text] : [capital(text)]), ".");
  const figures = raw && el("details", { class: "raw" }, el("summary", {}, "Raw figures"), el("p", { class: "small" }, how), el("pre", { tabindex: 0 }, JSON.stringify(raw, null, 2)));
  return [el("h3", {}, capital(title)), el("p", { class: "question" }, question), ...answers.map(answer), ...(figures ? [figures] : [])];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Programs of all sizes against how well each matches. */
function frontier(points) {
  const [width, height, left, bottom, top] = [560, 240, 52, 40, 12];
  const largest = points.reduce((most, p) => Math.max(most, p.statements), 1);
  const lowest = Math.max(0, Math.floor(10 * points.reduce((least, p) => Math.min(least, p.match), 1)) / 10 - 0.1);
  const x = (statements) => left + 12 + ((width - left - 30) * statements) / largest;
  const y = (match) => top + ((height - top - bottom) * (1 - match)) / (1 - lowest);
  const ticks = [...new Set([lowest, (1 + lowest) / 2, 1])];
  const marks = points.map((p) => {
    const mark = svg("circle", { cx: x(p.statements), cy: y(p.match), r: p.measured_on === "evidence" ? 6 : 4, class: p.opaque ? "opaque" : "clear" });
    mark.append(svg("title", {}, pointText(p)));
    return mark;
  });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "frontier", role: "img", "aria-label": "match against the number of statements" },
    ...ticks.flatMap((m) => [svg("line", { x1: left, x2: width - 8, y1: y(m), y2: y(m), class: "grid" }), svg("text", { x: left - 6, y: y(m) + 4, "text-anchor": "end" }, m.toFixed(2))]),
    ...[...new Set([1, Math.ceil(largest / 2), largest])].map((n) => svg("text", { x: x(n), y: height - bottom + 18, "text-anchor": "middle" }, String(n))),
    svg("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "statements"),
    ...marks,
  );
  return el(
    "figure",
    {},
    el("figcaption", {}, "The frontier: how well programs of each size match. A filled mark is a program without opaque lines; the large one is this program."),
    picture,
    table(["statements", "opaque", "numbers", "match", "measured on", "file"], points.map((p) => [p.statements, p.opaque, p.numbers, share(p.match), p.measured_on, p.file]), "The programs of the frontier"),
  );
}

const pointText = (p) => `${plural(p.statements, "statement")}, ${p.opaque} opaque, ${plural(p.numbers, "number")}: match ${share(p.match)}`;

function reproduceBody() {
  const body = at("reproduce-body");
  const text = `${data.header}\n\n${statements.map((statement) => statement.text).join("\n")}\n`;
  if (evidence) {
    const { model } = evidence;
    body.append(
      el("p", {}, "The same command gives the same program, byte for byte, on the same versions:"),
      el("pre", { tabindex: 0 }, ...evidence.command.split(" ").flatMap((word) => [el("span", { class: "glued" }, word), " "])),
      el(
        "p",
        {},
        `MODEL: ${plural(model.layers, "layer")}, ${plural(model.heads, "head")}, width ${model.width}; the weights have the SHA-256 `,
        el("code", { class: "long" }, model.sha256),
        ". Versions: ",
        Object.entries(evidence.versions).map(([name, found]) => `${name} ${found}`).join(", "),
        ".",
      ),
    );
  }
  body.append(el("details", {}, el("summary", {}, "The program as text"), el("pre", { tabindex: 0 }, ...code(text))));
}

// The page.

/** A sentence on the program: tokens and variables as they are written in it. */
function sentence(text) {
  return text.split(/(`[^`]+`|<\w+>|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*)/).map((part) => {
    if (/^[`<"]./.test(part)) return bdi(part.replaceAll("`", ""), { class: "token" });
    return byName.has(part) && part !== "prediction" ? el("code", {}, part) : part;
  });
}

function algorithm() {
  const { checked, sentences } = data.algorithm;
  at("algorithm").hidden = !sentences.length;
  at("algorithm").querySelector("ul").append(...sentences.map((text) => el("li", {}, ...sentence(text))));
  at("algorithm").querySelector("p").append(`Each sentence was checked on ${checked}.`);
}

function head() {
  const name = evidence?.task ?? data.name;
  at("title").append(bdi(name));
  if (evidence) at("title").append(" ", el("span", { class: `verdict ${evidence.verdict.replaceAll(" ", "-")}` }, evidence.verdict));
  const what = `The task: ${evidence?.description.replace(/\.$/, "") || name}. `;
  if (evidence) at("lede").append(what, `A Transformer was trained on it, and this is the best program found for it. ${evidence.meaning}`);
  const figures = [];
  if (evidence) {
    const worst = evidence.bands.reduce((low, band) => (low && low.match.low <= band.match.low ? low : band), null);
    const asked = evidence.asked ? `; ${percent(evidence.asked)} were asked for` : "";
    if (worst) figures.push(["predicts what the model predicts", `${percent(worst.match.accuracy)} of sequences`, `at least ${percent(worst.match.low)} (95 %), lengths ${worst.lengths.join("–")}, the worst band${asked}`]);
  }
  const opaque = data.size.opaque.length;
  figures.push(["statements", String(data.size.statements), opaque ? `${opaque} of them opaque: weights of the model, or many numbers` : "none opaque"]);
  figures.push(["free numbers", data.size.numbers.toLocaleString("en"), "strengths, coefficients and table entries"]);
  if (evidence) figures.push(["the model", plural(evidence.model.layers, "layer"), `${plural(evidence.model.heads, "head")} a layer, width ${evidence.model.width}`]);
  at("figures").append(...figures.map(([term, figure, note]) => el("div", {}, el("dt", {}, term), el("dd", {}, el("b", {}, figure), el("small", {}, note)))));
  at("header-lines").append(...code(data.header.length > 600 ? `${data.header.slice(0, 600)} …` : data.header));
  at("guide-prediction").append(
    data.program.predict === "next-token" ? "the token for which most speaks." : "all tokens for which more speaks than against: those that may come next.",
  );
}

/** Rounded; what is not all is not said to be all. */
const percent = (x) => (x < 1 && x >= 0.99995 ? "over 99.99 %" : `${(100 * x).toFixed(2).replace(/\.?0+$/, "")} %`);

async function main() {
  head();
  algorithm();
  listing();
  choose(statements[0]);
  evidenceBody();
  reproduceBody();
  program = await Interpreter.load(data.program);
  model = await Model.load(data.model);
  if (model) at("try-intro").textContent = "Type a sequence: program and model run in this page, and every variable is shown position by position, and what the model's heads attend to.";
  tryIt();
  panel();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (state.run) show(state.ids, state.first);
    panel();
  });
  window.addEventListener("resize", panel);
  window.addEventListener("beforeprint", () => {
    const wide = at("strips").querySelector(".strip")?.offsetWidth ?? 0;
    at("strips").style.setProperty("--print-zoom", Math.min(1, PAPER / wide));
    for (const details of document.querySelectorAll("details:not(.raw)")) details.open = true;
    at("operators").replaceChildren(...statements.filter((statement) => statement.op !== undefined).slice(0, OPERATORS_IN_PRINT).map(printedOperator));
  });
  document.documentElement.dataset.ready = "true";
}

main();
