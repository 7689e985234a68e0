/**
 * A project for tests: rows by the real PostgREST, where there is one; storage, auth and edge functions by a stand-in that
 * answers as their documentation says, as neither can be had without a project of Supabase.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** A path of the stand-in that fails or does something odd, in place of what it would do. */
type Oddity = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

export interface StandIn extends AsyncDisposable {
  readonly url: string;
  /** Requests that came, method and path. */
  readonly asked: string[];
  /** By path. */
  readonly odd: Map<string, Oddity>;
  readonly files: Map<string, { readonly bytes: Buffer; readonly type: string }>;
  /** Stands in names of users and in what the edge function says. */
  text: string;
}

export const userId = '11111111-2222-4333-8444-555555555555';

export async function standIn(restUrl?: string): Promise<StandIn> {
  const asked: string[] = [];
  const odd = new Map<string, Oddity>();
  const files: StandIn['files'] = new Map();
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '/';
    asked.push(`${incoming.method} ${path}`);
    const oddity = odd.get(path.split('?')[0] ?? '');
    if (oddity) oddity(incoming, outgoing);
    else if (path.startsWith('/rest/v1') && restUrl !== undefined) passOn(restUrl, incoming, outgoing);
    else void answer(incoming, outgoing);
  });

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const path = decodeURI((incoming.url ?? '').split('?')[0] ?? '');
    const json = (value: unknown, status = 200) => {
      outgoing.writeHead(status, { 'content-type': 'application/json' });
      outgoing.end(JSON.stringify(value));
    };
    const route = `${incoming.method} ${path}`;
    const user = {
      id: userId,
      aud: 'authenticated',
      email: `${here.text}@example.org`,
      created_at: '2026-01-01T00:00:00Z',
      app_metadata: { providers: ['email'] },
      user_metadata: { secret: 'not shown' },
    };
    if (route === 'GET /storage/v1/bucket') {
      json([{ id: 'papers', name: 'papers', public: false, file_size_limit: null, owner: '' }]);
    } else if (route.startsWith('POST /storage/v1/object/list/')) {
      const {
        prefix = '',
        limit,
        offset,
      } = JSON.parse(body.toString()) as {
        readonly prefix?: string;
        readonly limit: number;
        readonly offset: number;
      };
      const names = [...files.keys()]
        .filter((name) => name.startsWith(`papers/${prefix}`))
        .map((name) => ({
          name: name.slice(`papers/${prefix}`.length).replace(/^\//, ''),
          id: name,
          updated_at: '2026-01-01T00:00:00Z',
          metadata: { size: files.get(name)?.bytes.length, mimetype: files.get(name)?.type },
        }));
      json(names.slice(offset, offset + limit));
    } else if (route.startsWith('POST /storage/v1/object/sign/')) {
      json({ signedURL: `${path.slice('/storage/v1'.length)}?token=abc` });
    } else if (route.startsWith('POST /storage/v1/object/')) {
      const name = path.slice('/storage/v1/object/'.length);
      if (files.has(name) && incoming.headers['x-upsert'] !== 'true') {
        json({ statusCode: '409', error: 'Duplicate', message: 'The resource already exists' }, 409);
      } else {
        files.set(name, { bytes: body, type: incoming.headers['content-type'] ?? '' });
        json({ Id: name, Key: name });
      }
    } else if (route.startsWith('GET /storage/v1/object/')) {
      const file = files.get(path.slice('/storage/v1/object/'.length));
      if (!file) json({ statusCode: '404', error: 'not_found', message: 'Object not found' }, 404);
      else outgoing.writeHead(200, { 'content-type': file.type }).end(file.bytes);
    } else if (route.startsWith('DELETE /storage/v1/object/')) {
      const { prefixes } = JSON.parse(body.toString()) as { readonly prefixes: readonly string[] };
      json(prefixes.filter((name) => files.delete(`papers/${name}`)).map((name) => ({ name })));
    } else if (route === 'GET /auth/v1/admin/users') {
      outgoing.setHeader('x-total-count', '1');
      json({ users: [user], aud: 'authenticated' });
    } else if (route === `GET /auth/v1/admin/users/${userId}`) {
      json(user);
    } else if (route === 'POST /functions/v1/hello') {
      json({ said: here.text, given: body.length === 0 ? null : (JSON.parse(body.toString()) as unknown) });
    } else {
      json({ message: 'Not found' }, 404);
    }
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const here: StandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    odd,
    files,
    text: 'ada',
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return here;
}

function passOn(to: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, headers, url = '/' } = incoming;
  const asked = request(new URL(url, to), { method, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  asked.on('error', () => outgoing.destroy());
  incoming.pipe(asked);
}
