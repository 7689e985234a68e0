/**
 * gRPC on a port, loaded when somebody first speaks HTTP/2 there: it takes 11 MB, and a start with it a fifth longer. Most processes that
 * could speak it never do.
 */
import type { Socket } from 'node:net';
import { setImmediate as pause } from 'node:timers/promises';

import type { Log } from '../../account/log.ts';
import type { Http2, Http2Options } from '../http2.ts';
import type { Grpc, GrpcOptions } from './server.ts';

type Loaded = Http2 & Pick<Grpc, 'end'>;

interface Parts extends Omit<Http2Options, 'handle'> {
  readonly log: Log;
  readonly grpc: GrpcOptions;
}

/** In pieces, so that calls of others come between them. */
async function load({ grpc: options, idleMs, metrics }: Parts): Promise<Loaded> {
  await import('@bufbuild/protobuf');
  await pause();
  const [{ openGrpc }, { openHttp2 }] = await Promise.all([import('./server.ts'), import('../http2.ts')]);
  await pause();
  const grpc = openGrpc(options);
  return { ...openHttp2({ idleMs, metrics, handle: grpc.handle }), end: () => grpc.end() };
}

export function grpcWhenSpoken(parts: Parts): Loaded {
  let loading: Promise<Loaded> | undefined;
  let loaded: Loaded | undefined;
  /** What it is told as soon as it is there. */
  const told: ('end' | 'close' | 'destroy')[] = [];
  const tell = (what: (typeof told)[number]) => {
    if (loaded) loaded[what]();
    else told.push(what);
  };

  async function wait(socket: Socket): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      loading ??= load(parts);
      loaded = await loading;
      for (const what of told.splice(0)) loaded[what]();
      if (socket.destroyed) return;
      loaded.take(socket);
    } catch (error) {
      parts.log.error('grpc_broke', { error });
      socket.destroy();
    }
  }

  return {
    take(socket) {
      if (loaded) loaded.take(socket);
      else void wait(socket);
    },
    end: () => tell('end'),
    close: () => tell('close'),
    destroy: () => tell('destroy'),
  };
}
