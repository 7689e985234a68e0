/** A stock client of gRPC, made from the .proto files as anybody would make it. */
import { fileURLToPath } from 'node:url';

import {
  credentials,
  type Client,
  loadPackageDefinition,
  Metadata,
  type CallOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const files = {
  'flotilla.test.v1.WireService': 'flotilla/test/v1/wire.proto',
  'flotilla.v1.AgentService': 'flotilla/v1/agent.proto',
  'flotilla.v1.CoordinatorService': 'flotilla/v1/coordinator.proto',
  'flotilla.v1.IntegrationService': 'flotilla/v1/integration.proto',
  'grpc.health.v1.Health': 'grpc/health/v1/health.proto',
  'grpc.reflection.v1.ServerReflection': 'grpc/reflection/v1/reflection.proto',
} as const;

export type Message = Readonly<Record<string, unknown>>;

interface Reached {
  readonly url: string;
  readonly token?: string;
}

export interface GrpcClient extends Disposable {
  readonly client: Client;
  call(method: string, message?: Message, options?: CallOptions): Promise<Message>;
  stream(method: string, message?: Message, options?: CallOptions): ClientReadableStream<Message>;
  talk(method: string): ClientDuplexStream<Message, Message>;
  metadata(): Metadata;
}

/** Words of enums are as the .proto files have them; fields too. */
export function grpcClient({ url, token }: Reached, service: keyof typeof files): GrpcClient {
  const definition = loadSync(files[service], {
    includeDirs: [folder('protos'), folder('../../proto')],
    keepCase: true,
    enums: String,
    longs: Number,
    oneofs: true,
  });
  let found: unknown = loadPackageDefinition(definition);
  for (const part of service.split('.')) found = (found as Record<string, unknown>)[part];
  const Made = found as ServiceClientConstructor;
  const client = new Made(new URL(url).host, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
  });
  const metadata = () => {
    const made = new Metadata();
    if (token !== undefined) made.set('authorization', `Bearer ${token}`);
    return made;
  };
  const methods = client as unknown as Record<string, (...args: unknown[]) => unknown>;
  const invoke = (method: string, ...args: unknown[]) => {
    const fn = methods[method];
    if (!fn) throw new TypeError(`${service} has no method ${method}.`);
    return fn.call(client, ...args);
  };
  return {
    client,
    metadata,
    call: async (method, message = {}, options = {}) =>
      new Promise((resolve, reject) => {
        invoke(method, message, metadata(), options, (error: ServiceError | null, answer: Message) => {
          if (error) reject(error);
          else resolve(answer);
        });
      }),
    stream: (method, message = {}, options = {}) =>
      invoke(method, message, metadata(), options) as ClientReadableStream<Message>,
    talk: (method) => invoke(method, metadata()) as ClientDuplexStream<Message, Message>,
    [Symbol.dispose]: () => client.close(),
  };
}
