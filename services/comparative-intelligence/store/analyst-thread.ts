/** The thread that computes: one question at a time, each from one state of the data. */
import { workerData } from 'node:worker_threads';

import { openToRead } from '#runtime/database.ts';
import { serveLink } from '#runtime/link.ts';

import { agreement, type AgreementRequest } from '../analysis/agreement.ts';
import { compare, type CompareRequest } from '../analysis/compare.ts';
import { evaluatePolicy, type PolicyRequest } from '../analysis/policy.ts';
import type { RankRequest } from '../analysis/games.ts';
import { rank } from '../analysis/rank.ts';
import { recommend, type RecommendRequest } from '../analysis/recommend.ts';
import { strengths, type StrengthsRequest } from '../analysis/strengths.ts';
import { reportOf, type ReportRequest } from '../report/report.ts';
import { readingFrom } from './reading.ts';

const database = openToRead(workerData as string);
const reading = readingFrom(database);

const handlers = {
  compare: (request: CompareRequest) => reading.atOnce(() => compare(reading, request)),
  rank: (request: RankRequest) => reading.atOnce(() => rank(reading, request)),
  strengths: (request: StrengthsRequest) => reading.atOnce(() => strengths(reading, request)),
  recommend: (request: RecommendRequest) => reading.atOnce(() => recommend(reading, request)),
  agreement: (request: AgreementRequest) => reading.atOnce(() => agreement(reading, request)),
  policy: (request: PolicyRequest) => reading.atOnce(() => evaluatePolicy(reading, request)),
  report: (request: ReportRequest) => reading.atOnce(() => reportOf(reading, request)),
};
export type AnalystHandlers = typeof handlers;

serveLink(handlers, () => database[Symbol.dispose]());
