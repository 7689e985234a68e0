/** The thread of a reader: one question after the other, each a short piece of work. */
import { workerData } from 'node:worker_threads';

import { serveLink } from '#runtime/link.ts';
import {
  openReader,
  type ArrivalRequest,
  type CountRequest,
  type PieceRequest,
  type RowsRequest,
} from './reader.ts';

const { dataDir, niceness } = workerData as { readonly dataDir: string; readonly niceness: number };
const reader = openReader(dataDir);

const handlers = {
  piece: (request: PieceRequest) => reader.piece(request),
  arrivals: (request: ArrivalRequest) => reader.arrivals(request),
  counts: (request: CountRequest) => reader.counts(request),
  rows: (request: RowsRequest) => reader.rows(request),
  streamsWithout: () => reader.streamsWithout(),
  newestBatch: () => reader.newestBatch(),
};
export type ReaderHandlers = typeof handlers;

serveLink(handlers, () => reader[Symbol.dispose](), niceness);
