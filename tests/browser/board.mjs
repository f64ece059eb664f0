// Look at the live page as a person would: does it move, explain itself, survive what is not nice?
// Usage: node board.mjs URL CHROMIUM [FOLDER for screenshots]
// Says "do WORD" on standard output when the other side has to change something, and fails with exit code 1.
import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, executablePath, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1100 }, ...options });
  page.problems = [];
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) page.problems.push(`asks elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("#channels tbody tr[data-name]");
  return page;
}

const cell = (page, channel, column) => page.locator(`#channels tr[data-name="${channel}"] > :nth-child(${column})`);
const shot = (page, name) => folder && page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });

async function theNumbersMove(page) {
  const channels = await page.locator("#channels tbody tr[data-name]").count();
  assert.ok(channels >= 5, `only ${channels} channels`);
  const before = await cell(page, "search", 2).textContent();
  const row = await page.$('#channels tr[data-name="search"]');
  await page.waitForFunction(([node, text]) => node.children[1].textContent !== text, [row, before]);
  assert.ok(await row.evaluate((node) => node.isConnected), "the row was replaced, not changed");
  await page.waitForSelector('[data-connection="live"]');
  assert.match(await page.locator("#workers-up").textContent(), /^2 of 2$/);
  await page.waitForFunction(() => document.querySelector("#events-curve path")?.getAttribute("d").includes("L"));
}

async function unknownIsNotZero(page) {
  assert.equal(await cell(page, "audio", 4).textContent(), "–");
  assert.match(await cell(page, "audio", 4).getAttribute("title"), /^Unknown/);
  assert.equal(await cell(page, "search", 4).textContent(), "2.50%");
  assert.equal(await cell(page, "search", 9).textContent(), "€0.40");
  assert.equal(await cell(page, "search", 11).textContent(), "4.00");
}

async function aNameIsTextWhateverItHolds(page) {
  const name = '<img src=x onerror="document.title=1">';
  const names = await page.locator("#channels tbody th").allTextContents();
  assert.ok(names.includes(name), names.join(", "));
  assert.equal(await page.title(), "campaignwatch");
}

async function theKeyboardChoosesTheWindow(page) {
  await page.locator('input[value="all"]').focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await cell(page, "search", 4).textContent(), "5.00%");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await cell(page, "search", 4).textContent(), "2.50%");
}

async function everythingIsExplained(page) {
  const silent = await page.locator("thead th:not([title])").allTextContents();
  assert.deepEqual(silent, ["Channel", "Topic", "Worker", "State", "Events/s", "Metrics at"]);
  for (const tile of await page.locator(".tile").all()) assert.ok(await tile.getAttribute("title"));
  await page.locator("summary").click();
  assert.ok(await page.getByText("Provisional, final, revised").isVisible());
}

async function textCanBeRead(page, scheme) {
  await page.emulateMedia({ colorScheme: scheme });
  const poor = await page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const colour = rgb(getComputedStyle(at).backgroundColor);
        if (colour[3] === 255) return colour;
      }
      return [255, 255, 255];
    };
    const found = [];
    for (const node of document.querySelectorAll("h1, h2, p, th, td, span, dt, dd, summary, a, legend")) {
      if (!node.checkVisibility() || !node.textContent.trim()) continue;
      const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < 4.5) found.push(`${node.tagName}.${node.className} ${node.textContent.slice(0, 20)} ${contrast.toFixed(2)}`);
    }
    return found;
  });
  assert.deepEqual(poor, [], `poor contrast in ${scheme}`);
}

async function aPhoneNeedsNoSidewaysScrolling() {
  const page = await open({ viewport: { width: 390, height: 800 } });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} pixels too wide`);
  await shot(page, "phone");
  await page.close();
}

async function aWorkerThatIsDownIsSeen(page) {
  console.log("do worker-down");
  await page.waitForSelector("#notice:not([hidden])");
  assert.match(await page.locator("#notice").textContent(), /1 of 2 workers down/);
  assert.equal(await page.locator("#channels tr[data-name='video']").count(), 0, "a number of nobody is shown");
  await shot(page, "worker-down");
}

async function aLostConnectionIsSeen(page) {
  console.log("do server-down");
  await page.waitForSelector('[data-connection="lost"]');
  assert.match(await page.locator("#connection").textContent(), /^connection lost, numbers of /);
}

try {
  const page = await open({ colorScheme: "light" });
  await theNumbersMove(page);
  await unknownIsNotZero(page);
  await aNameIsTextWhateverItHolds(page);
  await theKeyboardChoosesTheWindow(page);
  await everythingIsExplained(page);
  await textCanBeRead(page, "light");
  await shot(page, "light");
  await textCanBeRead(page, "dark");
  await shot(page, "dark");
  await aPhoneNeedsNoSidewaysScrolling();
  assert.deepEqual(page.problems, []);
  await aWorkerThatIsDownIsSeen(page);
  assert.deepEqual(page.problems, []);
  await aLostConnectionIsSeen(page);
  console.log("all well");
} finally {
  await browser.close();
}
