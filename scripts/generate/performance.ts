import { reportMarkdown, type Report } from '../bench/report.ts';
import { withPart } from './generated-part.ts';

const markers = {
  begin: '<!-- figures: generated from docs/performance/ by "npm run generate" -->',
  end: '<!-- /figures -->',
};

/** Suites are measured at different times: a report each, in the order in which the document shows them. */
export const reportFiles = ['everything', 'tools', 'sharing', 'hub'].map(
  (name) => `docs/performance/${name}.json`,
);

/** The document with the figures of the reports, so that none is typed by hand; a text is empty where no report was taken over. */
export function withFigures(document: string, reports: readonly string[]): string {
  const taken = reports.filter((report) => report !== '');
  const parts = taken.map((report) => reportMarkdown(JSON.parse(report) as Report).trim());
  const part = parts.length === 0 ? 'None yet.' : parts.join('\n\n');
  return withPart({ path: 'docs/performance.md', text: document }, markers, part);
}
