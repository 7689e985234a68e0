/* Keeps the page as health sees the fleet now. Without it the page is whole, and renews itself every 30 s. */

const root = document.documentElement;
const pulse = document.getElementById('pulse');
const icon = document.querySelector('link[rel=icon]');
const title = document.querySelector('title');
const staleAfterMs = 5_000;
const askAgainMs = 10_000;

/** What the clock here says less what the one there says. */
let aheadMs = 0;
let polledMs = 0;
let heardMs = Date.now();
let ended = '';

const durationText = (ms) => {
  const seconds = Math.floor(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min`;
  if (days === 0) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
};

const tell = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

const showAge = () => {
  const nowMs = Date.now() - aheadMs;
  for (const time of document.querySelectorAll('time:not([data-fixed])')) {
    tell(time, durationText(Math.max(0, nowMs - Date.parse(time.dateTime))));
  }
  if (!pulse) return;
  const silentMs = Date.now() - heardMs;
  const ageMs = polledMs === 0 ? silentMs : Math.max(0, nowMs - polledMs);
  const isOld = ended !== '' || silentMs > staleAfterMs || ageMs > staleAfterMs;
  pulse.classList.toggle('old', isOld);
  if (ended !== '') tell(pulse, ended);
  else if (isOld) tell(pulse, `▲ data is ${durationText(Math.max(ageMs, silentMs))} old`);
  else tell(pulse, polledMs === 0 ? '' : '● live');
};

const put = (name, contents) => {
  const element = document.querySelector(`[data-piece="${CSS.escape(name)}"]`);
  if (!element) return;
  if (name === 'layout') {
    if (element.textContent !== contents) location.reload();
    return;
  }
  if (element === title) {
    document.title = new DOMParser().parseFromString(contents, 'text/html').documentElement.textContent;
    return;
  }
  if (element instanceof HTMLScriptElement) {
    element.textContent = contents;
    element.dispatchEvent(new Event('series'));
    return;
  }
  // A chart that a script has drawn takes its figures from the series.
  if (element.dataset.drawn !== undefined) return;
  // Who is at a link, or has opened something, stays there.
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const place = active?.getAttribute('href');
  const open = [...element.querySelectorAll('details')].map((details) => details.open);
  const summaries = [...element.querySelectorAll('summary')];
  const at = summaries.indexOf(active);
  element.innerHTML = contents;
  for (const [index, details] of [...element.querySelectorAll('details')].entries())
    details.open = open[index] ?? false;
  if (place) element.querySelector(`[href="${CSS.escape(place)}"]`)?.focus();
  else if (at >= 0) element.querySelectorAll('summary')[at]?.focus();
  if (name === 'icon' && icon) icon.href = element.textContent;
};

const listen = () => {
  const query = new URLSearchParams({ about: root.dataset.about, mark: root.dataset.mark });
  const source = new EventSource(`/events?${query}`);
  source.addEventListener('pieces', (event) => {
    heardMs = Date.now();
    root.dataset.mark = event.lastEventId;
    for (const [name, contents] of Object.entries(JSON.parse(event.data))) put(name, contents);
    showAge();
  });
  source.addEventListener('polled', (event) => {
    const { nowMs, polledMs: ms } = JSON.parse(event.data);
    heardMs = Date.now();
    aheadMs = heardMs - nowMs;
    polledMs = ms;
    ended = '';
    showAge();
  });
  source.addEventListener('error', () => {
    // A browser tries again by itself, unless it was turned away.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    void askAgain();
  });
  addEventListener('pagehide', () => source.close(), { once: true });
};

/** Turned away: signed out, or too many look. */
const askAgain = async () => {
  const status = await fetch('/status', { method: 'GET' }).then(
    (response) => response.status,
    () => 0,
  );
  ended = status === 401 || status === 403 ? '▲ signed out: run flotilla dashboard' : '';
  showAge();
  if (ended === '') setTimeout(listen, askAgainMs);
};

addEventListener('pageshow', (event) => {
  if (event.persisted) listen();
});
setInterval(showAge, 1_000);
listen();
