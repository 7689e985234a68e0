/** Reports that were made. */
import type { Resource } from '#runtime/service.ts';

import type { Comparing } from './comparing.ts';
import { reportFormats, type ReportFormat } from './report/report.ts';

export const reportUri = (format: ReportFormat, id: string) => `comparison://${format}/${id}`;

const mimeTypes = { json: 'application/json', markdown: 'text/markdown', html: 'text/html' } as const;

export const resources: readonly Resource<Comparing>[] = reportFormats.map((format) => ({
  uri: `comparison://${format}/{id}`,
  name: `${format}-report`,
  title: `Comparison report (${format})`,
  description: `A report of generate_report as ${format}.`,
  mimeType: mimeTypes[format],
  // Documents that programs read; names in them are escaped.
  untrusted: 'as-is',
  read({ id = '' }, { store }) {
    const report = store.reading.report(id);
    return report?.format === format ? { text: report.body } : undefined;
  },
}));
