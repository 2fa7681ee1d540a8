// The page: takes the input to the filter, and shows its answer. Text of the input only ever becomes text of
// the page.

import { load } from "./engine.js";

const FIELDS = ["config", "request", "token", "keys", "time", "filter", "dpop", "certificate", "address", "requirement", "filter_state"];
const MORE = ["filter", "dpop", "certificate", "address", "requirement", "filter_state"];
/** Findings beyond these would bury the rest. */
const MOST_FINDINGS = 50;

const byId = (id) => document.getElementById(id);
const answerArea = byId("answer");
const statusLine = byId("status");

/** An element with properties, attributes and children; a child that is a string becomes text. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) {
      element[key] = value;
    } else {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const code = (text) => make("code", {}, text);

function section(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

function say(text, kind = "") {
  statusLine.textContent = text;
  statusLine.className = kind;
}

function fail(text) {
  const banner = byId("failure");
  banner.textContent = text;
  banner.hidden = false;
}

// --- faults of the input

function clearFaults() {
  for (const id of FIELDS) {
    byId(id).removeAttribute("aria-invalid");
    const place = byId(`${id}-error`);
    if (place) {
      place.hidden = true;
      place.textContent = "";
    }
  }
}

function showFault(member, message) {
  const field = byId(member);
  if (!field) {
    return;
  }
  if (MORE.includes(member)) {
    byId("more").open = true;
  }
  field.setAttribute("aria-invalid", "true");
  const place = byId(`${member}-error`);
  if (place) {
    place.textContent = message;
    place.hidden = false;
  }
}

/** Where a place begins in a text: the filter counts lines and characters, the field counts UTF-16 units. */
function offset(text, line, column) {
  const lines = text.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const characters = [...(lines[line - 1] ?? "")].slice(0, column - 1);
  return before + characters.join("").length;
}

function goTo(finding) {
  const field = byId("config");
  const start = offset(field.value, finding.line, finding.column);
  const end = offset(field.value, finding.end_line, finding.end_column);
  field.focus();
  field.setSelectionRange(start, Math.max(start, end));
  const height = field.scrollHeight / field.value.split("\n").length;
  field.scrollTop = Math.max(0, (finding.line - 3) * height);
}

function showFindings(findings) {
  if (findings.length === 0) {
    return null;
  }
  const list = make("ul");
  for (const finding of findings.slice(0, MOST_FINDINGS)) {
    const place = make("button", { type: "button", className: "link" }, `line ${finding.line}, column ${finding.column}`);
    place.addEventListener("click", () => goTo(finding));
    const kind = { error: "failed", warning: "warning", note: "" }[finding.level] ?? "";
    list.append(
      make(
        "li",
        { className: "finding" },
        make("strong", { className: kind }, finding.level),
        ` at `,
        place,
        `: ${finding.message}`,
        finding.path ? make("div", { className: "hint" }, "at ", code(finding.path)) : null,
        finding.help ? make("div", { className: "hint" }, finding.help) : null,
      ),
    );
  }
  if (findings.length > MOST_FINDINGS) {
    list.append(make("li", {}, `and ${findings.length - MOST_FINDINGS} more`));
  }
  return section("What to look at in the configuration", list);
}

// --- the answer

const MARKS = new Map([
  [true, ["✓ passed", "passed"]],
  [false, ["✗ failed", "failed"]],
  [null, ["not checked", ""]],
]);

function table(caption, headings, rows) {
  const head = make("tr", {}, ...headings.map((heading) => make("th", { scope: "col" }, heading)));
  const body = make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells)));
  // On a narrow screen the cells of a row are below each other. Each cell then needs its heading, and the
  // roles tell a screen reader that this is still a table.
  for (const cells of rows) {
    cells.forEach((cell, column) => {
      cell.dataset.heading = headings[column];
      cell.setAttribute("role", column === 0 ? "rowheader" : "cell");
    });
  }
  for (const cell of head.children) {
    cell.setAttribute("role", "columnheader");
  }
  for (const row of [head, ...body.children]) {
    row.setAttribute("role", "row");
  }
  body.setAttribute("role", "rowgroup");
  return make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    make("table", { role: "table" }, make("thead", { role: "rowgroup" }, head), body),
  );
}

function ruleList(answer) {
  const list = make("ol");
  for (const rule of answer.rules) {
    list.append(
      make(
        "li",
        {},
        make("span", { className: rule.taken ? "passed" : "" }, rule.taken ? "✓ matches: " : "does not apply: "),
        code(rule.name),
        " ",
        code(JSON.stringify(rule.match)),
        rule.because.length > 0 ? make("ul", {}, ...rule.because.map((why) => make("li", {}, why))) : null,
      ),
    );
  }
  const chosen = answer.chosen === "default" ? "No rule matches, so every request needs a token." : `Chosen by ${answer.chosen}.`;
  const isTaken = answer.rules.some((rule) => rule.taken);
  const also =
    answer.also.length > 0
      ? make("p", {}, `Servers may read this request in several ways; it also has to meet: ${answer.also.join(", ")}.`)
      : null;
  return section(
    "Rules",
    answer.rules.length > 0 ? list : null,
    isTaken ? null : make("p", {}, chosen),
    also,
    make("p", {}, `The request needs ${answer.needs}.`),
  );
}

function tokenSection(token) {
  const show = (value) => make("pre", { tabIndex: 0 }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
  return section(
    `Token in ${token.location}`,
    make("p", {}, "Header"),
    token.header === null ? make("p", {}, "The token cannot be taken apart.") : show(token.header),
    token.claims === null ? null : make("p", {}, "Claims"),
    token.claims === null ? null : show(token.claims),
  );
}

function providerSection(provider) {
  const title = provider.provider === "" ? "Credentials" : `Checks of provider ${provider.provider}`;
  const rows = provider.steps.map((step) => {
    const [word, kind] = MARKS.get(step.passed) ?? MARKS.get(null);
    return [
      make("th", { scope: "row" }, step.name),
      make("td", { className: kind }, word),
      make("td", {}, step.seen === "" ? "–" : step.seen),
      make(
        "td",
        {},
        step.passed === true ? "" : step.expected,
        step.reason ? make("div", {}, code(step.reason)) : null,
      ),
    ];
  });
  return section(title, table(title, ["Check", "Result", "Seen", "Expected"], rows));
}

function headerTable(title, rows) {
  const cells = rows.map(([name, value, change]) => [
    make("th", { scope: "row" }, code(name)),
    make("td", {}, code(value)),
    make("td", {}, change),
  ]);
  return table(title, ["Field", "Value", "Change by the filter"], cells);
}

function replySection(reply) {
  const head = reply.headers.map(([name, value]) => `${name}: ${value}`);
  const text = [`HTTP ${reply.status}`, ...head, "", reply.body].join("\n").trimEnd();
  return section("The reply to the client", make("pre", { tabIndex: 0 }, text));
}

function upstreamSection(answer) {
  const { upstream, filter_state: state } = answer.decision;
  const rows = [
    [":method", answer.request.method, ""],
    [":path", upstream.target, upstream.set.includes(":path") ? "set" : ""],
    ...upstream.headers.map(([name, value]) => [name, value, upstream.set.includes(name) ? "set" : ""]),
    ...upstream.removed.map((name) => [name, "–", "removed"]),
  ];
  return section(
    "What the upstream sees",
    headerTable("What the upstream sees", rows),
    state.length > 0
      ? make("ul", {}, ...state.map(([name, value]) => make("li", {}, `filter state wasm.jwt.metadata.${name}: `, code(value))))
      : null,
  );
}

/** The decision in a sentence. */
function verdict(decision) {
  const by = decision.rule ? ` (${decision.rule})` : "";
  switch (decision.outcome) {
    case "allowed": {
      const why = {
        verified: `with a token of ${decision.provider}`,
        anonymous: "without a verified token",
        bypassed: "no token is needed",
      }[decision.basis];
      const shadow = decision.shadowed ? `; enforced, the filter would refuse it with ${decision.shadowed}` : "";
      return [`Allowed: ${why}${shadow}${by}`, "good"];
    }
    case "refused": {
      const detail = decision.detail ? ` – ${decision.detail}` : "";
      return [`Refused with ${decision.reply.status}: ${decision.reason}${detail}${by}`, "bad"];
    }
    default:
      return [`The filter answers the request itself, with ${decision.reply.status}${by}`, "good"];
  }
}

function show(answer) {
  clearFaults();
  const findings = showFindings(answer.findings);
  if (answer.error) {
    showFault(answer.error.member, answer.error.message);
    const of = document.querySelector(`label[for="${answer.error.member}"]`)?.textContent ?? "Input";
    const count = answer.findings.filter((finding) => finding.level === "error").length;
    const counted = answer.error.member === "config" && count > 0 ? ` (${count === 1 ? "1 error" : `${count} errors`} below)` : "";
    say(`${of}: ${answer.error.message}${counted}`, "bad");
    answerArea.replaceChildren(...(findings ? [findings] : []));
    return;
  }
  const explanation = answer.explanation;
  const decision = explanation.decision;
  const [sentence, kind] = verdict(decision);
  const parts = [];
  if (answer.missing.length > 0) {
    parts.push(
      make(
        "p",
        { className: "failed" },
        `The keys of ${answer.missing.join(", ")} are not here, so the filter cannot check the signature. Paste the key set into “Keys”.`,
      ),
    );
  }
  const { method, target, authority } = explanation.request;
  parts.push(make("p", {}, "Request: ", code(`${method} ${target}`), " to ", code(authority), ` at ${explanation.time}`));
  parts.push(ruleList(explanation));
  parts.push(...explanation.providers.map(providerSection));
  if (decision.reply) {
    parts.push(replySection(decision.reply));
  }
  if (decision.upstream) {
    parts.push(upstreamSection(explanation));
  }
  parts.push(...explanation.tokens.map(tokenSection));
  if (findings) {
    parts.push(findings);
  }
  parts.push(
    make(
      "details",
      {},
      make("summary", {}, "As text, as jwtctl explain prints it"),
      make("pre", { tabIndex: 0 }, answer.text),
    ),
  );
  answerArea.replaceChildren(...parts);
  // Last, so that a screen reader announces it when the rest is there.
  say(sentence, kind);
}

// --- the form

function question() {
  const asked = { now: Date.now() };
  for (const id of FIELDS) {
    asked[id] = byId(id).value;
  }
  return asked;
}

function reveal() {
  const { top } = byId("result").getBoundingClientRect();
  // Below the form on a narrow screen; beside its beginning on a wide one, where the button is at its end.
  if (top < 0 || top > window.innerHeight / 2) {
    const isCalm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("result").scrollIntoView({ behavior: isCalm ? "auto" : "smooth" });
  }
}

async function begin() {
  let ask;
  let examples = [];
  try {
    const url = (name) => new URL(name, import.meta.url);
    const answer = await fetch(url("examples.json"), { cache: "no-cache" });
    [ask, examples] = await Promise.all([load(url("jwtctl.wasm")), answer.json()]);
  } catch (error) {
    say("The page could not load the filter.", "bad");
    const hint = location.protocol === "file:" ? " Serve this folder with a file server, for example: python3 -m http.server" : "";
    fail(`The page could not load the filter: ${error.message}.${hint}`);
    return;
  }
  const explain = async () => {
    byId("failure").hidden = true;
    try {
      show(await ask(question()));
    } catch (error) {
      answerArea.replaceChildren();
      say("The filter has failed on this input.", "bad");
      fail(`The filter has failed on this input, which is a fault of the filter or of this page: ${error.message}`);
    }
  };
  const choice = byId("example");
  choice.append(...examples.map((example, number) => make("option", { value: String(number) }, example.name)));
  byId("load").addEventListener("click", async () => {
    const example = examples[Number(choice.value)];
    for (const id of FIELDS) {
      byId(id).value = example.question[id] ?? "";
    }
    await explain();
  });
  byId("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await explain();
    reveal();
  });
  byId("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      byId("form").requestSubmit();
    }
  });
  // The answer to an earlier question would be misleading.
  byId("form").addEventListener("input", (event) => {
    if (FIELDS.includes(event.target.id) && answerArea.childElementCount > 0) {
      answerArea.replaceChildren();
      say("The input has changed. Choose Explain.");
    }
  });
  byId("explain").disabled = false;
  say("Paste your input or load an example, and choose Explain.");
}

await begin();
