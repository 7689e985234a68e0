/**
 * What the pages need besides themselves: a style sheet, which stands in each of them, and scripts, whose addresses change with their
 * contents, so that a browser keeps them for good.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

type Coding = 'br' | 'gzip' | undefined;

interface Asset {
  /** With the hash of its contents. */
  readonly path: string;
  /** Compressed when it is asked for first: a start need not wait for it. */
  readonly body: (coding: Coding) => Uint8Array<ArrayBuffer>;
}

const houseFile = new URL('../runtime/house.css', import.meta.url);
const browserFile = (name: string) => fileURLToPath(new URL(`browser/${name}`, import.meta.url));

/** The library for charts, as it is published for browsers: nothing here runs it. */
const uplotFile = (name: string) => fileURLToPath(import.meta.resolve(`uplot/dist/${name}`));

function script(name: string, file: string): Asset {
  const body = readFileSync(file);
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 16);
  const bodies = new Map<Coding, Uint8Array<ArrayBuffer>>();
  return {
    path: `/assets/${digest}/${name}`,
    body(coding) {
      const made = bodies.get(coding) ?? new Uint8Array(compressed(body, coding));
      bodies.set(coding, made);
      return made;
    },
  };
}

function compressed(body: Buffer, coding: Coding): Buffer {
  if (coding === 'br') return brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
  return coding === 'gzip' ? gzipSync(body, { level: 9 }) : body;
}

export interface Assets {
  readonly live: string;
  readonly charts: string;
  readonly uplot: string;
  readonly css: string;
  readonly cssHash: string;
  /** `undefined` for an address that was never given, or is of another version. */
  find(path: string, accepted: string | null): Response | undefined;
}

/** Of our own pages, without that of the charts. */
export const readStyle = () =>
  `${readFileSync(houseFile, 'utf8')}${readFileSync(browserFile('style.css'), 'utf8')}`;

const year = 365 * 24 * 3_600;

export function readAssets(): Assets {
  const live = script('live.js', browserFile('live.js'));
  const charts = script('charts.js', browserFile('charts.js'));
  const uplot = script('uplot.js', uplotFile('uPlot.iife.min.js'));
  const byPath = new Map([live, charts, uplot].map((asset) => [asset.path, asset]));
  const css = `${readFileSync(uplotFile('uPlot.min.css'), 'utf8').trim()}\n${readStyle()}`;
  return {
    live: live.path,
    charts: charts.path,
    uplot: uplot.path,
    css,
    cssHash: `sha256-${createHash('sha256').update(css).digest('base64')}`,
    find(path, accepted) {
      const asset = byPath.get(path);
      if (!asset) return undefined;
      const coding = codingFor(accepted);
      return new Response(asset.body(coding), {
        headers: {
          'content-type': 'text/javascript; charset=utf-8',
          'cache-control': `public, max-age=${year}, immutable`,
          vary: 'accept-encoding',
          'x-content-type-options': 'nosniff',
          ...(coding && { 'content-encoding': coding }),
        },
      });
    },
  };
}

/** What a browser takes; nobody else is worth weighing its preferences. */
export function codingFor(accepted: string | null): Coding {
  const codings = (accepted ?? '')
    .toLowerCase()
    .split(',')
    .map((part) => part.trim());
  return (['br', 'gzip'] as const).find((coding) => codings.includes(coding));
}
