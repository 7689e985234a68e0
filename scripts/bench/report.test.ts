import { expect, test } from 'vitest';

import { reportPage } from './report-page.ts';
import { reportMarkdown, sectionText, type Report } from './report.ts';
import { skippedSection, type Section } from './section.ts';

const section: Section = {
  title: 'Ladder',
  method: 'As often as it <takes>.',
  columns: [{ name: 'server' }, { name: 'calls/s' }, { name: 'of bare', digits: 2 }],
  rows: [
    ['bare <node>', 44_804.4, 1],
    ['SDK | alone', 2_958, null],
  ],
  chart: { column: 1 },
};

function reportOf(...sections: readonly Section[]): Report {
  const machine = {
    at: '2026-11-20T10:00:00.000Z',
    flotilla: '0.1.0',
    cpu: 'Some CPU',
    cores: 2,
    memoryGiB: 4,
    kernel: 'Linux 6.1',
    node: '26.10.0',
    loadAverage: 0.2,
  };
  return { machine, depth: 'quick', sections };
}

test('the terminal gets columns, with numbers as people read them', () => {
  expect(sectionText(section)).toBe(
    '\nLadder\nserver       calls/s  of bare\nbare <node>  44,804   1.00\nSDK | alone  2,958    –\n',
  );
});

test('Markdown keeps its columns, names its machine and its method', () => {
  const text = reportMarkdown(reportOf(section));

  expect(text).toContain('| SDK \\| alone | 2,958 | – |');
  expect(text).toContain('|---|---:|---:|');
  expect(text).toContain('on Some CPU, 2 cores');
  expect(text).toContain('quick: short runs');
  expect(text).toContain('As often as it <takes>.');
});

test('the page escapes what it shows, draws the longest bar over the whole width, and fetches nothing', async () => {
  const page = await reportPage(reportOf(section));

  expect(page).toContain('bare &lt;node&gt;');
  expect(page).not.toContain('<node>');
  expect(page).toContain('<rect width="100.00"');
  expect(page).toContain('<rect width="6.60"');
  expect(page).not.toMatch(/<script|src=|href=|url\(|@import/);
});

test('a skipped section says why, and a fault says that figures are not to be trusted', async () => {
  const skipped = skippedSection('Peers', 'the registry does not answer');
  const faulty = { ...section, faults: ['3 calls failed'] };
  const report = reportOf(skipped, faulty);

  expect(sectionText(skipped)).toContain('skipped: the registry does not answer');
  expect(sectionText(faulty)).toContain('✗ 3 calls failed');
  for (const text of [reportMarkdown(report), await reportPage(report)]) {
    expect(text).toContain('Skipped: the registry does not answer.');
    expect(text).toMatch(/Not to be trusted:(\*\*)? 3 calls failed/);
  }
});
