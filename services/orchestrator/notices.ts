/** What an orchestrator says to others on the same ledger of a change that it made. Pure. */
import { noNews, type News } from './ledger/change.ts';

/** With what stands around them, a notice has room for them. */
const mostNames = 100;

interface Notice {
  readonly ready?: true;
  readonly events?: true;
  readonly tasks?: readonly string[];
  readonly projects?: readonly string[];
  readonly workers?: readonly string[];
}

/** As many as it takes; none where there is nothing to say. */
export function noticesOf({ isReady, hasEvents, tasks, projects, workers }: News): string[] {
  const notices: Notice[] = [];
  for (const [kind, names] of Object.entries({ tasks, projects, workers })) {
    const all = [...names];
    for (let at = 0; at < all.length; at += mostNames)
      notices.push({ [kind]: all.slice(at, at + mostNames) });
  }
  if (isReady || hasEvents)
    notices[0] = { ...notices[0], ...(isReady && { ready: true }), ...(hasEvents && { events: true }) };
  return notices.map((notice) => JSON.stringify(notice));
}

export function newsIn(text: string): News {
  const { ready = false, events = false, tasks, projects, workers } = JSON.parse(text) as Notice;
  return {
    ...noNews(),
    isReady: ready,
    hasEvents: events,
    tasks: new Set(tasks),
    projects: new Set(projects),
    workers: new Set(workers),
  };
}
