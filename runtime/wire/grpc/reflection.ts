/** `grpc.reflection.v1.ServerReflection`: what can be called here, for clients that bring no .proto files. */
import { toBinary, type DescFile, type DescService, type FileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

import { ToolError } from '../../errors.ts';
import { until, type Talked } from './face.ts';
import { codes } from './status.ts';

interface Asked {
  readonly list_services?: string;
  readonly file_by_filename?: string;
  readonly file_containing_symbol?: string;
  readonly file_containing_extension?: object;
  readonly all_extension_numbers_of_type?: string;
}

/**
 * @param protos where the services, and what they need, are found by name.
 * @param stopping aborted when the process begins to stop: a client that has more to ask would hold it up.
 */
export function reflectionOf(
  services: readonly DescService[],
  protos: readonly FileRegistry[],
  stopping: AbortSignal,
): Talked {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile) => {
    if (files.has(nameOf(file))) return;
    files.set(nameOf(file), file);
    for (const needed of file.dependencies) add(needed);
  };
  for (const { file } of services) add(file);

  function fileOf(symbol: string): DescFile | undefined {
    // A method, a field or a value of an enum is found in what it belongs to.
    for (let name = symbol; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
      for (const registry of protos) {
        const found = registry.get(name);
        const file = found && files.get(nameOf(found.file));
        if (file) return file;
      }
    }
    return undefined;
  }

  function answerTo(asked: Asked): object {
    if (asked.list_services !== undefined) {
      return { list_services_response: { service: services.map(({ typeName }) => ({ name: typeName })) } };
    }
    const { file_by_filename: name, file_containing_symbol: symbol } = asked;
    const file = name === undefined ? (symbol === undefined ? undefined : fileOf(symbol)) : files.get(name);
    if (!file) {
      const error_message = name ?? symbol ?? 'There are no extensions here.';
      return { error_response: { error_code: codes.not_found, error_message } };
    }
    const bytes = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto));
    return { file_descriptor_response: { file_descriptor_proto: [bytes.toString('base64')] } };
  }

  return {
    async *talked(heard) {
      for await (const original_request of until(stopping, heard))
        yield { original_request, ...answerTo(original_request) };
      if (stopping.aborted)
        throw new ToolError('unavailable', 'The service stops.', { hint: 'Connect again.' });
    },
  };
}

/** With the suffix, as imports have it. */
const nameOf = ({ name }: DescFile) => `${name}.proto`;
