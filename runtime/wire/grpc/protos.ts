/** What the .proto files say, as the compiler has put it into one file: descriptors of services and messages. */
import { readFileSync } from 'node:fs';

import {
  createFileRegistry,
  fromJson,
  type DescService,
  type FileRegistry,
  type JsonValue,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const reflection = 'grpc/reflection/v1/reflection.proto';

/** @param compiled the JSON of a `google.protobuf.FileDescriptorSet`, with all imports. */
export function readProtos(compiled: URL): FileRegistry {
  const set = fromJson(FileDescriptorSetSchema, JSON.parse(readFileSync(compiled, 'utf8')) as JsonValue);
  return createFileRegistry(set);
}

/** What every process adds to its own: health and reflection, and the latter by its older name too, under which clients ask for the same. */
export function readStandard(): FileRegistry {
  const text = readFileSync(standardFile, 'utf8');
  const set = JSON.parse(text) as { file: { name: string }[] };
  const older = JSON.parse(text.replaceAll('reflection.v1', 'reflection.v1alpha')) as typeof set;
  const file = older.file.find(({ name }) => name === reflection);
  if (file) set.file.push({ ...file, name: reflection.replace('/v1/', '/v1alpha/') });
  return createFileRegistry(fromJson(FileDescriptorSetSchema, set as JsonValue));
}

const standardFile = new URL('../../../proto/standard.json', import.meta.url);

/** @throws TypeError for a service that is not there: a bug. */
export function serviceIn(protos: FileRegistry, name: string): DescService {
  const service = protos.getService(name);
  if (!service) throw new TypeError(`The .proto files have no service ${name}.`);
  return service;
}
