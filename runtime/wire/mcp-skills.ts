/** Skills (SEP-2640): which there are, and one by its address. Their files are read as documents. */
import { ProtocolError, ProtocolErrorCode, type Server } from '@modelcontextprotocol/server';
import { z } from 'zod';

import type { Skill } from '../skill.ts';
import { forCaller } from './mcp-surface.ts';

const listParams = z.object({ cursor: z.string().optional() });
const getParams = z.object({ uri: z.string() });

/** A skill of one file, as both methods tell it. */
const entryOf = ({ uri, frontmatter, digest, sizeBytes }: Skill) => ({
  uri,
  frontmatter,
  resources: [{ uri, digest, size: sizeBytes }],
});

export function offerSkill(server: Server, skill: Skill): void {
  server.setRequestHandler('skills/list', { params: listParams }, ({ cursor }) => {
    if (cursor === undefined) return { skills: [entryOf(skill)], ...forCaller };
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      'There is no such cursor: the list comes whole. Leave cursor out.',
    );
  });
  server.setRequestHandler('skills/get', { params: getParams }, ({ uri }) => {
    if (uri === skill.uri) return { skill: entryOf(skill), ...forCaller };
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no such skill. There is: ${skill.uri}`,
    );
  });
}
