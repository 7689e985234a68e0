import { reportMarkdown, type Report } from '../bench/report.ts';
import { withPart } from './generated-part.ts';

const markers = {
  begin: '<!-- figures: generated from docs/performance.json by "npm run generate" -->',
  end: '<!-- /figures -->',
};

/** The document with the figures of a report, so that none is typed by hand; `report` is empty until one is taken over. */
export function withFigures(document: string, report: string): string {
  const part = report === '' ? 'None yet.' : reportMarkdown(JSON.parse(report) as Report).trim();
  return withPart({ path: 'docs/performance.md', text: document }, markers, part);
}
