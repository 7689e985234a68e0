import { isUtf8 } from 'node:buffer';

import { ToolError } from '#runtime/errors.ts';
import type { Resource } from '#runtime/service.ts';

import { maxResourceBytes } from './limits.ts';
import type { Python } from './python.ts';

export const resources: readonly Resource<Python>[] = [
  {
    uri: 'python://session/{id}/files/{path}',
    name: 'python-file',
    title: 'File of a Python session',
    description: "A file in a session's folder; slashes of its path are written %2F. Subscribe to follow it.",
    mimeType: 'application/octet-stream',
    untrusted: 'as-is',
    read({ id = '', path = '' }, { store }, call) {
      const file = store.file(store.get(id, call).id, path);
      if (!file) return undefined;
      if (file.bytes > maxResourceBytes) {
        throw new ToolError(
          'too_large',
          `The file has ${file.bytes} bytes; as a resource, at most ${maxResourceBytes} are read.`,
          {
            hint: 'Read it in parts with read_python_file.',
          },
        );
      }
      const bytes = store.read(file, 0, file.bytes);
      return isUtf8(bytes) ? { text: bytes.toString() } : { blob: bytes.toString('base64') };
    },
  },
];
