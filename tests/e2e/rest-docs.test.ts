/** The page of the REST interface as a person sees it, in a real browser. Pictures lie in a temporary folder, whose path is printed. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import chromium from '@sparticuz/chromium';
import axe from 'axe-core';
import { chromium as playwright, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { openRest, type RestTrial } from '../support/rest.ts';

const pictures = mkdtempSync(join(tmpdir(), 'flotilla-rest-docs-'));
const desktop = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

let rest: RestTrial;
let browser: Browser;
let page: Page;
/** What the page may not do: complain, or ask for anything but itself. */
const complaints = new Set<string>();

beforeAll(async () => {
  const [trial, executablePath] = await Promise.all([openRest(), chromium.executablePath()]);
  rest = trial;
  browser = await playwright.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
    headless: true,
  });
  page = await browser.newPage();
  page.on('console', (message) => complaints.add(message.text()));
  page.on('pageerror', (error) => complaints.add(String(error)));
  page.on('request', (request) => {
    if (request.url() !== `${rest.url}/docs` && !request.url().startsWith('data:'))
      complaints.add(`asked ${request.url()}`);
  });
});
afterAll(async () => {
  await browser?.close();
  await rest?.[Symbol.asyncDispose]();
  process.stdout.write(`Pictures of the REST interface: ${pictures}\n`);
});

test.each([
  ['light', desktop],
  ['dark', phone],
] as const)('nothing keeps people from it in the %s at %o', async (colorScheme, viewport) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize(viewport);
  await page.goto(`${rest.url}/docs`);
  await page.screenshot({ path: join(pictures, `closed-${colorScheme}-${viewport.width}.png`) });
  for (const id of ['createProject', 'getTask', 'listTasks']) {
    // oxlint-disable-next-line no-await-in-loop -- as a person does
    await page.locator(`#${id} summary`).click();
  }
  await page.locator('#createProject').scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(pictures, `open-${colorScheme}-${viewport.width}.png`) });
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');

  expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
  expect(await page.evaluate(`document.documentElement.scrollWidth > ${viewport.width}`)).toBe(false);
  expect([...complaints]).toEqual([]);
  expect(await page.locator('#createProject .inside').innerText()).toContain('web_application');
});
