/**
 * The dashboard as a person sees it: a real browser, a real fleet of four processes. One browser and one fleet serve all tests, which
 * run in order. Pictures of what was seen lie in a temporary folder, whose path is printed.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import chromium from '@sparticuz/chromium';
import axe from 'axe-core';
import { chromium as playwright, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { openAgain } from '#runtime/database.ts';

import { History } from '../../health/history.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { run, RunningFleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/serve.ts';

const pictures = mkdtempSync(join(tmpdir(), 'flotilla-dashboard-'));
const folder = temporaryFolder();
const dataRoot = join(folder.path, 'data');
const desktop = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

let fleet: RunningFleet;
let browser: Browser;
let context: BrowserContext;
/** Stays at the page of the fleet; the other one goes about. */
let page: Page;
let other: Page;
let memoryPid = 0;
let base = '';
let offset = 0;
/** What no page may do: complain, or ask elsewhere. */
const complaints = new Set<string>();
/** Everything that reached the browser. */
let told = '';

const settings = () => ({ FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(offset) });
const portOf = (name: string) => (entryOf(name)?.port ?? 0) + offset;

async function pidOf(name: string): Promise<number> {
  return ((await (await fetch(`http://127.0.0.1:${portOf(name)}/health`)).json()) as { pid: number }).pid;
}

function watch(watched: BrowserContext): void {
  watched.on('page', (opened) => {
    opened.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.add(message.text());
    });
    opened.on('pageerror', (error) => complaints.add(String(error)));
    opened.on('request', (request) => {
      if (!request.url().startsWith(base) && !request.url().startsWith('data:'))
        complaints.add(`asked ${request.url()}`);
    });
    opened.on('response', (response) => {
      if (response.url().includes('/events')) return;
      void response.text().then(
        (text) => (told += text),
        () => {},
      );
    });
  });
}

const dayMs = 86_400_000;
const daysAgo = (days: number) => Math.floor(Date.now() / dayMs) - days;

/** As health would have seen it: context was polled for 60 days, and half of one of them, ten days ago, it was down. */
function seedPast(): void {
  const file = join(dataRoot, 'health', 'history.db');
  new History(file)[Symbol.dispose]();
  const database = openAgain(file);
  const insert = database.prepare("INSERT INTO days VALUES (?, 'context', 86400, ?)");
  for (let days = 60; days > 0; days--) insert.run(daysAgo(days), days === 10 ? 43_200 : 86_400);
  database.close();
}

beforeAll(async () => {
  seedPast();
  offset = await freePortOffset();
  fleet = new RunningFleet(['--only', 'memory,context,health,dashboard'], settings());
  const [executablePath] = await Promise.all([chromium.executablePath(), fleet.said(/Stop\s+Ctrl-C/)]);
  base = `http://127.0.0.1:${portOf('dashboard')}`;
  browser = await playwright.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
    headless: true,
  });
  context = await browser.newContext({
    viewport: desktop,
    reducedMotion: 'reduce',
    colorScheme: 'light',
    locale: 'en-GB',
  });
  watch(context);
  page = await context.newPage();
  other = await context.newPage();
});

afterAll(async () => {
  await browser?.close();
  await fleet?.interrupt();
  folder[Symbol.dispose]();
  process.stdout.write(`Pictures of the dashboard: ${pictures}\n`);
});

const take = async (of: Page, name: string) =>
  of.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
const summary = () => page.locator('[data-piece=summary]').innerText();
/** On a busy machine a process that starts may be seen to fall more than once. */
const upAgain = /All 4 are up|comes? and go/;
/** Each process by itself, whatever the summary says of the last minutes. */
const allAreUp = async () => {
  for (const name of ['memory', 'context', 'health', 'dashboard'])
    expect(await row(name).innerText()).toMatch(/●\s*up/);
  expect(await summary()).toMatch(upAgain);
};
const row = (name: string) => page.locator(`[data-piece="${name}.state"]`);

test('a link from the command line signs in, and leaves no code in the address', async () => {
  const link = run(['dashboard'], settings()).stdout.trim();

  await page.goto(link);

  expect(page.url()).toBe(`${base}/dashboard`);
  const [cookie] = await context.cookies();
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax' });
  await vi.waitFor(async () => expect(await summary()).toContain('All 4 are up'), { timeout: 90_000 });
  await vi.waitFor(async () => expect(await page.locator('#pulse').innerText()).toContain('live'));
  // A process may be slow for a moment on a busy machine: the title says what the summary says.
  await vi.waitFor(async () => {
    const [said, app] = (await page.title()).split(' · ');
    expect(await summary()).toContain(said);
    expect(app).toBe('Flotilla');
  });
});

test('the past of 90 days is shown, with the day on which something was wrong', async () => {
  const strip = page.locator('[data-piece="context.quarter"] svg');

  const day = new Date(daysAgo(10) * dayMs).toISOString().slice(0, 10);
  // On a busy machine today can be a second one.
  expect(await strip.locator('title').allTextContents()).toContain(`${day}: up 50.00 %`);
  expect(await strip.getAttribute('aria-label')).toMatch(
    /: 61 of 90 days polled, [12] of them with trouble$/,
  );
  expect(await page.locator('[data-piece="context.uptime"]').innerText()).toMatch(/^9[89]\.\d\d %$/);
});

const fine = { isWider: false, violations: [] };

/** What a screen reader, a narrow screen or weak eyes would stumble over. */
async function look(path: string, colorScheme: 'light' | 'dark', viewport: typeof desktop) {
  await other.emulateMedia({ colorScheme });
  await other.setViewportSize(viewport);
  await other.goto(base + path);
  await take(other, `${path.split('/').at(-1)}-${colorScheme}-${viewport.width}`);
  await other.evaluate(axe.source);
  const { violations } = await other.evaluate<axe.AxeResults>('axe.run()');
  const isWider = await other.evaluate(`document.documentElement.scrollWidth > ${viewport.width}`);
  return { isWider, violations: violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]) };
}

test('nothing keeps people from it while all is well, nor from the page of a process', async () => {
  for (let call = 0; call < 2; call++) {
    run(['call', 'context', 'count_tokens', '{"text":"Rosebud"}'], settings());
  }

  expect(await look('/dashboard', 'light', desktop)).toEqual(fine);
  expect(await look('/dashboard/memory', 'light', desktop)).toEqual(fine);

  expect(await other.locator('h1').innerText()).toContain('memory');
  await vi.waitFor(async () =>
    expect(await other.locator('[data-piece=log]').innerText()).toContain('listening'),
  );
});

test('a process that hangs is shown as down without a reload', async () => {
  await page.evaluate('globalThis.here = true');
  memoryPid = await pidOf('memory');

  process.kill(memoryPid, 'SIGSTOP');

  await vi.waitFor(async () => expect(await summary()).toContain('memory is down'), { timeout: 90_000 });
  expect(await row('memory').innerText()).toMatch(/✕\s*down/);
  expect(await page.locator('[data-piece=trouble]').innerText()).toMatch(/memory down for \d+ s/);
  expect(await page.title()).toBe('memory is down · Flotilla');
  await take(page, 'one-down');
  process.kill(memoryPid, 'SIGKILL');
});

test('nothing keeps people from it in the dark and on a phone', async () => {
  expect(await look('/dashboard', 'dark', desktop)).toEqual(fine);
  expect(await look('/dashboard', 'light', phone)).toEqual(fine);
  expect(await look('/dashboard/memory', 'dark', phone)).toEqual(fine);
});

test('a killed process that is back is shown as up, in the page that was open all the time', async () => {
  await vi.waitFor(allAreUp);

  expect(await pidOf('memory')).not.toBe(memoryPid);
  expect(await page.evaluate('globalThis.here')).toBe(true);
});

test('a keyboard reaches everything, and shows where it is', async () => {
  await other.setViewportSize(desktop);
  await other.goto(`${base}/dashboard`);
  const focused = async () =>
    other.evaluate<{ text: string; outlineStyle: string }>(
      '({ text: document.activeElement.textContent.trim(), outlineStyle: getComputedStyle(document.activeElement).outlineStyle })',
    );

  await other.keyboard.press('Tab');
  expect(await focused()).toEqual({ text: 'Skip to the contents', outlineStyle: 'solid' });
  await other.keyboard.press('Enter');
  const seen: string[] = [];
  for (let step = 0; step < 40 && !seen.includes('dashboard'); step++) {
    await other.keyboard.press('Tab');
    const { text, outlineStyle } = await focused();
    expect(outlineStyle).toBe('solid');
    seen.push(text);
  }

  expect(seen).toEqual(expect.arrayContaining(['memory', 'context', 'health', 'dashboard']));
  // The skip link leads past the parts of the page.
  expect(seen).not.toContain('Backups');
  await other.keyboard.press('Enter');
  await other.waitForURL(`${base}/dashboard/dashboard`);
});

test('without JavaScript everything is there', async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: desktop, locale: 'en-GB' });
  watch(plain);
  await plain.addCookies(await context.cookies());
  const still = await plain.newPage();
  await still.goto(`${base}/dashboard`);

  const text = await still.locator('body').innerText();
  for (const words of ['memory', 'Backups', 'flotilla connect', 'Renewed every 30 s']) {
    expect(text).toContain(words);
  }
  expect(text).toMatch(upAgain);
  expect(await still.locator('svg.strip').count()).toBe(8);
  await still.goto(`${base}/dashboard/memory`);
  expect(await still.locator('svg.chart').count()).toBe(4);
  await still.screenshot({ path: join(pictures, 'without-javascript.png'), fullPage: true });
  await plain.close();
});

test('while health is stopped the page says so, and shows what it knew', async () => {
  const pid = await pidOf('health');

  process.kill(pid, 'SIGSTOP');
  await vi.waitFor(async () => expect(await summary()).toContain('Health does not answer'), {
    timeout: 90_000,
  });
  expect(await page.locator('[data-piece=banner]').innerText()).toMatch(/What is shown is \d+ s old/);
  expect(await row('context').innerText()).toMatch(/●\s*up/);
  await take(page, 'health-down');
  process.kill(pid, 'SIGCONT');

  await vi.waitFor(allAreUp);
});

test('what was called is shown, with its tool', async () => {
  await vi.waitFor(
    async () =>
      expect(await page.locator('[data-piece=tools]').innerText()).toMatch(/count_tokens\s+context\s+2/),
    { timeout: 90_000 },
  );
  await take(page, 'with-calls');
  await other.emulateMedia({ colorScheme: 'light' });
  await other.goto(`${base}/dashboard/context`);
  await vi.waitFor(async () => expect(await other.locator('.uplot canvas').count()).toBe(4));
  expect(await other.locator('[data-piece=tools]').innerText()).toContain('count_tokens');
  await take(other, 'with-charts');
});

test('nothing complained, nothing was asked of others, and no secret was told', async () => {
  const token = readFileSync(join(dataRoot, 'token'), 'utf8').trim();
  const key = readFileSync(join(dataRoot, 'dashboard', 'session-key'), 'utf8').trim();
  const signingKey =
    readFileSync(join(dataRoot, 'dashboard', 'signing-key.pem'), 'utf8').split('\n')[1] ?? '';
  const headers = { authorization: `Bearer ${token}` };
  const stream = (await fetch(`${base}/events?about=memory`, { headers })).body?.getReader();
  while (!told.includes('event: pieces')) told += new TextDecoder().decode((await stream?.read())?.value);
  await stream?.cancel();
  for (const path of ['/dashboard', '/dashboard/memory', '/status', '/metrics']) {
    told += await (await fetch(base + path, { headers })).text();
  }

  expect([...complaints]).toEqual([]);
  expect(told.length).toBeGreaterThan(10_000);
  for (const secret of [token, key, signingKey, 'fla_']) {
    expect(secret).not.toBe('');
    expect(told).not.toContain(secret);
  }
});
