/** The tools that understand lines: LogQL, patterns, and new errors. */
import type { AnyTool } from '#runtime/tool.ts';

import type { Analysed } from './loki/reading.ts';
import {
  analyzeLokiLabels,
  listLokiLabelNames,
  listLokiLabelValues,
  queryLokiLogs,
  queryLokiStats,
} from './tools/loki.ts';
import { findErrorPatternLogs, queryLokiPatterns } from './tools/patterns.ts';

export const analysisTools: readonly AnyTool<Analysed>[] = [
  queryLokiLogs,
  queryLokiPatterns,
  findErrorPatternLogs,
  listLokiLabelNames,
  listLokiLabelValues,
  queryLokiStats,
  analyzeLokiLabels,
];
