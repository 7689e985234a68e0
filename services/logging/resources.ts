import type { Resource } from '#runtime/service.ts';
import { fitting } from '#runtime/page.ts';

import { lineText, shown } from './fields.ts';
import { defaultLines } from './limits.ts';
import type { Logging } from './logging.ts';

export const tailUri = (source: string) => `log://${encodeURIComponent(source)}/tail`;

export const resources: readonly Resource<Logging>[] = [
  {
    uri: 'log://{source}/tail',
    name: 'tail',
    title: 'Newest lines of a source',
    description: 'The newest lines of a source, the oldest first; subscribe to hear of more.',
    mimeType: 'text/plain',
    async read({ source = '' }, { store }, call) {
      if (!store.sources().some((one) => one.source === source)) return undefined;
      const { lines } = await store.find(
        { sources: [source] },
        { order: 'newest', limit: defaultLines },
        call,
      );
      const texts = fitting(lines.map((line) => lineText(shown(line))));
      return { text: texts.toReversed().join('\n') };
    },
  },
];

/** How often subscribers of a source hear of it at most. */
const tellEveryMs = 500;

/** Tells subscribers, source by source. */
export function tellingOf(resourceUpdated: (uri: string) => void): {
  readonly stored: (sources: readonly string[]) => void;
} & Disposable {
  const waiting = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const tell = () => {
    timer = undefined;
    for (const source of waiting) resourceUpdated(tailUri(source));
    waiting.clear();
  };
  return {
    stored(sources) {
      for (const source of sources) waiting.add(source);
      timer ??= setTimeout(tell, tellEveryMs).unref();
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
