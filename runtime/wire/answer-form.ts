/**
 * Which form of an answer a client takes. The protocol asks clients to accept both JSON and a stream of events, and the SDK
 * refuses those who do not say so; curl, proxies and many a client say less, and mean it.
 */

const json = 'application/json';
const stream = 'text/event-stream';
const both = `${json}, ${stream}`;

/** Whether a client that says this takes events: one that says nothing, or anything, gets the simpler form. */
export const takesEvents = (accept: string | undefined | null): boolean => accept?.includes(stream) ?? false;

/** The answer in the form that the client takes. */
export async function inForm(
  request: Request,
  answer: (request: Request) => Promise<Response>,
): Promise<Response> {
  const accept = request.headers.get('accept');
  if (accept?.includes(json) && takesEvents(accept)) return answer(request);
  const headers = new Headers(request.headers);
  headers.set('accept', both);
  const { method, signal, url } = request;
  // Its body, where it had one, has been read.
  const response = await answer(new Request(url, { method, headers, signal }));
  const isStream = response.headers.get('content-type')?.startsWith(stream) ?? false;
  return isStream && method === 'POST' && !takesEvents(accept) ? asJson(response) : response;
}

/** The last message of a stream that ends: the answer. What came before it, progress, is for those who listen. */
async function asJson(response: Response): Promise<Response> {
  const events = (await response.text()).split('\n\n');
  const messages = events.flatMap((event) =>
    event.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice('data: '.length)] : [])),
  );
  const headers = new Headers(response.headers);
  headers.set('content-type', json);
  // Said of streams alone.
  for (const name of ['cache-control', 'connection', 'x-accel-buffering']) headers.delete(name);
  return new Response(messages.at(-1) ?? '', { status: response.status, headers });
}
