// The page in a real browser, served from a path below the root by a server that knows no media type of a
// module.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { chromium } from "playwright-core";

const FOLDER = process.env.PAGE_FOLDER;
const ANSWERS = JSON.parse(await readFile(process.env.ANSWERS, "utf8"));
const EXAMPLES = JSON.parse(await readFile(join(FOLDER, "examples.json"), "utf8"));
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const PREFIX = "/tools/explain/";

let browser;
let context;
let page;
let site;
/** A second server, which must never hear from the page. */
let elsewhere;
let requested = [];
let overheard = [];
let complaints = [];

async function serve(handle) {
  const server = createServer(handle);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const origin = (server) => `http://127.0.0.1:${server.address().port}`;
const url = () => `${origin(site)}${PREFIX}`;

before(async () => {
  site = await serve(async (request, response) => {
    requested.push(request.url);
    const path = new URL(request.url, "http://site").pathname;
    const name = path.slice(PREFIX.length) || "index.html";
    try {
      if (!path.startsWith(PREFIX) || name.includes("/")) {
        throw new Error("not of the page");
      }
      const body = await readFile(join(FOLDER, name));
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  elsewhere = await serve((request, response) => {
    overheard.push(request.url);
    response.writeHead(200, { "access-control-allow-origin": "*" }).end("heard");
  });
  // The sandbox of the browser needs rights that root in a container lacks; the only pages are those of this
  // test.
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-lcd-text"] });
});

after(async () => {
  await browser?.close();
  site?.close();
  elsewhere?.close();
});

beforeEach(async () => {
  await context?.close();
  requested = [];
  overheard = [];
  complaints = [];
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await open();
});

async function open() {
  await page.goto(url());
  await page.waitForFunction(() => !document.getElementById("explain").disabled);
}

const status = () => page.locator("#status").textContent();
const shown = () => page.locator("#answer").innerText();

async function fill(fields) {
  for (const [name, value] of Object.entries(fields)) {
    await page.locator(`#${name}`).fill(value);
  }
}

async function explain() {
  await page.getByRole("button", { name: "Explain", exact: true }).click();
}

async function loadExample(name) {
  await page.getByLabel("Example", { exact: true }).selectOption({ label: name });
  await page.getByRole("button", { name: "Load the example" }).click();
  await page.waitForFunction(() => document.getElementById("answer").childElementCount > 0);
}

/** Asks the filter itself, past the fields. */
function ask(question) {
  return page.evaluate(async (asked) => {
    const { load } = await import("./engine.js");
    const ask = await load("jwtctl.wasm");
    return ask(asked);
  }, question);
}

async function violations() {
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`);
}

test("the page asks for its own files only, and for nothing once it is loaded", async () => {
  assert.deepEqual(
    [...new Set(requested)].sort(),
    ["", "engine.js", "examples.json", "jwtctl.wasm", "page.css", "page.js"].map((name) => PREFIX + name),
  );
  const before = requested.length;
  await context.setOffline(true);
  for (const { name } of EXAMPLES) {
    await loadExample(name);
  }
  await explain();
  assert.equal(requested.length, before);
  assert.deepEqual(complaints, []);
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept, [0, 0, "", url()]);
});

test("the browser answers each example as the native filter does", async () => {
  assert.equal(Object.keys(ANSWERS).length, EXAMPLES.length);
  for (const { name, question } of EXAMPLES) {
    assert.deepEqual(await ask(question), ANSWERS[name], name);
  }
});

test("each example shows its decision", async () => {
  for (const { name, outcome } of EXAMPLES) {
    await loadExample(name);
    const expected = { allowed: /^Allowed/, faults: /^Configuration: the filter refuses this configuration \(\d+ errors below\)/ };
    assert.match(await status(), expected[outcome] ?? new RegExp(`^Refused with \\d{3}: ${outcome}\\b`), name);
  }
});

test("a refusal shows the rule, each check, the reply and the claims, and no token", async () => {
  await loadExample("A token that has expired");
  const text = await shown();
  for (const part of [
    "does not apply: rules[0]",
    "✓ matches: rules[2]",
    "Checks of provider corp",
    "token_expired",
    "in the future, or at most 60 s ago",
    "HTTP 401",
    "www-authenticate: Bearer",
    '"sub": "alice"',
  ]) {
    assert.ok(text.includes(part), `${part} is not in ${text}`);
  }
  const row = page.getByRole("row", { name: /^expiration/ });
  assert.match(await row.innerText(), /✗ failed/);
  const token = await page.locator("#token").inputValue();
  for (const secret of [token, token.split(".")[2]]) {
    assert.ok(secret.length > 40 && !(await page.locator("#result").innerHTML()).includes(secret));
  }
});

test("an allowed request shows what the upstream sees", async () => {
  await loadExample("An administrator, as a curl command");
  const row = page.getByRole("row", { name: /^x-jwt-sub/ });
  assert.equal((await row.innerText()).replaceAll(/\s+/g, " ").trim(), "x-jwt-sub alice set");
  assert.match(await page.getByRole("row", { name: /^authorization/ }).innerText(), /removed/);
});

test("a token without keys says which keys are missing", async () => {
  await loadExample("A token, and no keys");
  assert.match(await shown(), /The keys of corp are not here, so the filter cannot check the signature/);
});

test("a fault of the configuration has its line and column, and leads there", async () => {
  await loadExample("A configuration with faults");
  const finding = page.getByRole("button", { name: "line 3, column 5" });
  await finding.click();
  const chosen = await page.evaluate(() => {
    const field = document.activeElement;
    return [field.id, field.value.slice(field.selectionStart, field.selectionEnd)];
  });
  assert.deepEqual(chosen, ["config", "isuer"]);
  assert.equal(await page.locator("#config").getAttribute("aria-invalid"), "true");
  // Characters beyond the first plane count once for the filter, and twice for the field.
  await fill({ config: "# 🔑🔑\nproviders:\n  corp: {issuer: '🔑', isuer: x}\n", request: "/" });
  await explain();
  await page.getByRole("button", { name: "line 3, column 23" }).click();
  const again = await page.evaluate(() => {
    const field = document.getElementById("config");
    return field.value.slice(field.selectionStart, field.selectionEnd);
  });
  assert.equal(again, "isuer");
  await fill({ config: "providers: [\n" });
  await explain();
  assert.match(await shown(), /neither YAML nor JSON/);
});

test("a fault of another field is shown beside it", async () => {
  await loadExample("A good token");
  for (const [field, value, message] of [
    ["request", "ftp://x/", /http/],
    ["keys", "{}", /./],
    ["time", "tomorrow", /is not a time/],
    ["filter", "3", /no number 3/],
  ]) {
    const before = await page.locator(`#${field}`).inputValue();
    await page.locator("#more").evaluate((details) => { details.open = true; });
    await fill({ [field]: value });
    await explain();
    assert.equal(await page.locator(`#${field}`).getAttribute("aria-invalid"), "true", field);
    assert.match(await page.locator(`#${field}-error`).textContent(), message);
    await fill({ [field]: before });
    await explain();
    assert.equal(await page.locator(`#${field}`).getAttribute("aria-invalid"), null, field);
  }
  assert.match(await status(), /^Allowed/);
});

test("a changed input takes the answer away", async () => {
  await loadExample("A good token");
  await page.locator("#token").fill("x");
  assert.equal(await shown(), "");
  assert.match(await status(), /input has changed/);
});

test("without a time the request comes now", async () => {
  await loadExample("A good token");
  await fill({ time: "" });
  await explain();
  assert.match(await status(), /token_expired/);
  assert.match(await shown(), new RegExp(` at ${new Date().getUTCFullYear()}-`));
});

test("text of the input stays text", async () => {
  const evil = "<img src=x onerror=alert(1)><script>alert(2)</script>";
  let alerts = 0;
  page.on("dialog", async (dialog) => { alerts += 1; await dialog.dismiss(); });
  await loadExample("A good token");
  await fill({ request: `GET /${evil.replaceAll(" ", "+")}\nx-evil: ${evil}` });
  await explain();
  assert.ok((await shown()).includes(evil));
  await fill({ config: JSON.stringify({ [evil]: evil, providers: { [evil]: evil } }) });
  await explain();
  assert.ok((await shown()).includes("<img"));
  assert.equal(await page.locator("#result img, #result script").count(), 0);
  assert.equal(alerts, 0);
});

test("the policy of the page lets nothing out", async () => {
  const target = origin(elsewhere);
  const tried = await page.evaluate(async (target) => {
    const outcome = {};
    const attempt = async (name, work) => {
      try { await work(); outcome[name] = "worked"; } catch { outcome[name] = "blocked"; }
    };
    await attempt("fetch", () => fetch(target));
    await attempt("beacon", () => { if (!navigator.sendBeacon(`${target}/beacon`, "x")) { throw new Error(); } });
    await attempt("image", () => new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = resolve;
      image.onerror = reject;
      image.src = `${target}/image`;
    }));
    await attempt("script", () => new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = resolve;
      script.onerror = reject;
      script.src = `${target}/script`;
      document.head.append(script);
    }));
    await attempt("import", () => import(`${target}/module.js`));
    await attempt("eval", () => (0, eval)("1"));
    await attempt("socket", () => new Promise((resolve, reject) => {
      const socket = new WebSocket(target.replace("http", "ws"));
      socket.onopen = resolve;
      socket.onerror = reject;
    }));
    const form = document.createElement("form");
    form.action = `${target}/form`;
    document.body.append(form);
    form.submit();
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    return outcome;
  }, target);
  // A beacon is accepted, and then dropped.
  delete tried.beacon;
  assert.deepEqual(new Set(Object.values(tried)), new Set(["blocked"]), JSON.stringify(tried));
  assert.deepEqual(overheard, []);
  assert.ok(page.url() === url() && complaints.length > 5);
});

test("input that is too deep or too large is answered, and the next one too", async () => {
  const deep = `providers: ${"[".repeat(20_000)}`;
  const wide = `providers:\n${Array.from({ length: 600 }, (_, n) => `  p${n}: {isuer: x}`).join("\n")}\n`;
  const { question } = EXAMPLES[0];
  for (const config of [deep, wide, "\0", "&a [*a]", "a: &a [x, x, x]\nb: *c\n"]) {
    await fill({ config, request: "/" });
    await explain();
    await page.waitForFunction(() => !/changed|Choose/.test(document.getElementById("status").textContent));
    assert.equal(await page.locator("#failure").isVisible(), false, await page.locator("#failure").textContent());
  }
  await fill(Object.fromEntries(Object.entries(question).filter(([name]) => name !== "now")));
  await explain();
  assert.match(await status(), /^Allowed/);
  await page.locator("#token").evaluate((field) => {
    field.value = `eyJ${"a".repeat(2_000_000)}.e30.x`;
  });
  await explain();
  await page.waitForFunction(() => /^Refused/.test(document.getElementById("status").textContent));
  assert.match(await status(), /token_too_large/);
});

test("the result is in view after the button at the end of the form", async () => {
  for (const width of [1440, 360]) {
    await page.setViewportSize({ width, height: 700 });
    await fill({ config: "providers: {corp: {isuer: x}}", request: "/" });
    await page.locator("#explain").scrollIntoViewIfNeeded();
    await explain();
    await page.waitForFunction(() => {
      const { top, bottom } = document.getElementById("status").getBoundingClientRect();
      return top >= 0 && bottom <= window.innerHeight;
    });
  }
});

test("a filter that fails says so, and the next question is answered", async () => {
  // A memory that cannot be had: what a fault in the module looks like from here.
  const outcome = await page.evaluate(async (question) => {
    const { load } = await import("./engine.js");
    const ask = await load("jwtctl.wasm");
    const encode = TextEncoder.prototype.encode;
    TextEncoder.prototype.encode = () => ({ length: 0xfffffff0 });
    let failed = false;
    try { await ask({}); } catch { failed = true; }
    TextEncoder.prototype.encode = encode;
    return [failed, (await ask(question)).explanation.decision.outcome];
  }, EXAMPLES[0].question);
  assert.deepEqual(outcome, [true, "allowed"]);
});

test("no rule of axe is broken, in light and dark, wide and narrow", async () => {
  for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 320], ["dark", 320]]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 800 });
    await open();
    assert.deepEqual(await violations(), [], `${colorScheme} ${width}, empty`);
    for (const name of ["A token that has expired", "A good token", "A configuration with faults", "A token, and no keys"]) {
      await loadExample(name);
      assert.deepEqual(await violations(), [], `${colorScheme} ${width}, ${name}`);
    }
    await page.locator("#more").evaluate((details) => { details.open = true; });
    assert.deepEqual(await violations(), [], `${colorScheme} ${width}, all fields`);
  }
});

test("axe sees a label that is missing", async () => {
  await page.locator('label[for="config"]').evaluate((label) => label.remove());
  assert.ok((await violations()).some((one) => one.startsWith("label")));
});

test("a narrow screen does not scroll sideways", async () => {
  await page.setViewportSize({ width: 320, height: 800 });
  for (const { name } of EXAMPLES) {
    await loadExample(name);
    const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= view, `${name}: ${wide} > ${view}`);
  }
});

test("on a narrow screen each cell of a table has room for its text", async () => {
  await page.setViewportSize({ width: 360, height: 800 });
  for (const name of ["A token that has expired", "A good token"]) {
    await loadExample(name);
    const cells = await page.evaluate(() => [...document.querySelectorAll("tbody td:nth-child(n + 3):not(:empty)")].map((cell) => {
      const { left, right } = cell.getBoundingClientRect();
      return [cell.textContent, right - left, right];
    }));
    assert.ok(cells.length > 5, `${cells.length} cells`);
    for (const [text, width, right] of cells) {
      assert.ok(width > 200 && right <= 360, `${name}, ${text}: ${width} wide, to ${right}`);
    }
  }
});

test("everything can be done with the keyboard", async () => {
  const reached = [];
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press("Tab");
    const [id, outline] = await page.evaluate(() => {
      const element = document.activeElement;
      return [element.id || element.tagName, getComputedStyle(element).outlineStyle];
    });
    reached.push(id);
    assert.notEqual(outline, "none", id);
    if (id === "load") {
      await page.keyboard.press("Enter");
    }
    if (id === "explain") {
      break;
    }
  }
  assert.deepEqual(reached, ["example", "load", "config", "request", "token", "keys", "time", "SUMMARY", "explain"]);
  assert.match(await status(), /^Allowed/);
  await page.locator("#time").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("Backspace");
  await page.keyboard.press("Control+Enter");
  assert.match(await status(), /^Time: .*is not a time/);
});

test("the decision is announced", async () => {
  const region = page.getByRole("status");
  assert.equal(await region.getAttribute("id"), "status");
  await loadExample("An ambiguous path");
  assert.match(await region.textContent(), /^Refused with 401: token_missing/);
});

test("a filter that cannot be loaded says so", async () => {
  await page.route("**/jwtctl.wasm", (route) => route.fulfill({ status: 404 }));
  await page.goto(url());
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").textContent(), /could not load the filter: 404/);
});

if (process.env.SCREENSHOT) {
  test("the picture of the documentation is taken", async () => {
    await page.setViewportSize({ width: 1280, height: 860 });
    await loadExample("A token that has expired");
    await page.screenshot({ path: process.env.SCREENSHOT });
  });
}
