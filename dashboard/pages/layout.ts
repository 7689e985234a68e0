/** What all pages have around them. */
import type { Assets } from '../assets.ts';
import { html, raw, type Html, type Pieces } from './html.ts';

/** Told by word and shape; the colour only adds to it. */
const shapes = { up: '●', degraded: '▲', down: '✕', absent: '○', unknown: '?' } as const;
export type Status = keyof typeof shapes;

export function shape(status: Status): Html {
  return html`<span class="shape" aria-hidden="true">${shapes[status]}</span>`;
}

/** For the tab of a browser: the shape again, in the colour of its status. */
export function iconOf(status: Status): string {
  const colours = {
    up: '#2f7d5b',
    degraded: '#b7791f',
    down: '#c0362c',
    absent: '#77736b',
    unknown: '#77736b',
  };
  const drawn = {
    up: '<circle cx="8" cy="8" r="6"/>',
    degraded: '<path d="M8 1l7 13H1z"/>',
    down: '<path d="M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z"/>',
    absent: '<circle cx="8" cy="8" r="3"/>',
    unknown: '<circle cx="8" cy="8" r="3"/>',
  };
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="${colours[status]}">${drawn[status]}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(picture)}`;
}

interface Frame {
  readonly title: Html | string;
  readonly body: Html;
  readonly assets: Pick<Assets, 'css' | 'live' | 'charts' | 'uplot'>;
  /** Of a page that changes while somebody looks. */
  readonly live?:
    | {
        readonly pieces: Pieces;
        readonly status: Status;
        /** Which process it is about; empty for all. */
        readonly about: string;
        readonly hasCharts: boolean;
        /** The word that the policy of this answer lets scripts run by. */
        readonly nonce: string;
      }
    | undefined;
}

/** Scripts run by a word that is drawn for each answer: nothing that text of others could bring into a page is one. */
export function layout({ title, body, assets, live }: Frame): Html {
  return html`<!doctype html>
    <html lang="en" ${live && html`data-about="${live.about}" data-mark=""`}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title ${live ? live.pieces.piece('title', title) : html`>${title}`}</title>
        <link rel="icon" href="${live ? iconOf(live.status) : 'data:,'}" />
        ${raw(`<style>${assets.css}</style>`)}
        ${live && html`<noscript><meta http-equiv="refresh" content="30" /></noscript>`}
        ${
          live?.hasCharts &&
          html`<script nonce="${live?.nonce ?? ''}" defer src="${assets.uplot}"></script>
            <script nonce="${live?.nonce ?? ''}" type="module" src="${assets.charts}"></script>`
        }
        ${live && html`<script nonce="${live?.nonce ?? ''}" type="module" src="${assets.live}"></script>`}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the contents</a>
        ${body}
      </body>
    </html>`;
}

/** For whoever comes without a good link, token or cookie; `reason` is one sentence. */
export function refusalPage(reason: string, assets: Frame['assets']): Html {
  return layout({
    title: 'Not signed in · Flotilla',
    assets,
    body: html`<main id="main" class="refusal">
      <p class="brand">Flotilla</p>
      <h1>${reason}</h1>
      <p>Open the dashboard by a link that is good once: <code>flotilla dashboard</code> prints one.</p>
      <p class="dim">Programs send a token: <code>Authorization: Bearer TOKEN</code>.</p>
    </main>`,
  });
}
