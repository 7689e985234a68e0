/** Files in buckets, users, and edge functions: what a project has beside its tables. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { limitField, nameField, textField } from '../fields.ts';
import { maxDownloadBytes, maxPathLength, maxUploadBytes } from '../limits.ts';
import { ask } from '../rest/client.ts';
import { requireObjectPath } from '../rest/place.ts';
import type { Supabase } from '../supabase.ts';
import { destroyingOutside, readingOutside } from './rows.ts';

const bucketField = nameField('Bucket.');
const pathField = textField(maxPathLength, 'Path in the bucket.');
const position = z.tuple([z.int().min(0)]);

export const listBuckets = defineTool({
  name: 'list_buckets',
  title: 'List Buckets',
  description: "List the project's storage buckets.",
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({}),
  output: z.object({
    buckets: z
      .array(
        z.object({
          name: z.string().describe('Its name.'),
          public: z.boolean().describe('Whether anyone may read it.'),
          file_size_limit: z.number().nullable().optional().describe('In bytes.'),
        }),
      )
      .describe('What there is.'),
    truncated: continuation.truncated,
  }),

  async handler(_args, supabase: Supabase, call) {
    const { data } = await ask(supabase.project(), call, async (client) => client.storage.listBuckets());
    const all = data.map(({ name, public: isPublic, file_size_limit: limit }) => ({
      name,
      public: isPublic,
      file_size_limit: limit ?? null,
    }));
    const buckets = fitting(all);
    return { buckets, ...(buckets.length < all.length && { truncated: true as const }) };
  },
});

export const listStorageObjects = defineTool({
  name: 'list_storage_objects',
  title: 'List Storage Objects',
  description: 'List files and folders below a path of a bucket.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    bucket: bucketField,
    path: pathField.optional(),
    search: textField(maxPathLength, 'Part of the name.').optional(),
    limit: limitField,
    cursor: cursorField,
  }),
  output: z.object({
    objects: z
      .array(
        z.object({
          name: z.string().describe('Within the path.'),
          is_folder: z.boolean().describe('Whether it is a folder.'),
          size_bytes: z.number().optional().describe('Of a file.'),
          mime_type: z.string().optional().describe('Of a file.'),
          updated_at: z.string().nullable().optional().describe('When it was changed.'),
        }),
      )
      .describe('In the order of their names.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { bucket, path, search, limit } = args;
    const project = supabase.project();
    const [skip] = decodeCursor('list_storage_objects', args, cursor, position, [0]);
    const below = path === undefined ? '' : requireObjectPath(path);
    const { data } = await ask(project, call, async (client) =>
      client.storage.from(bucket).list(below, {
        limit: limit + 1,
        offset: skip,
        sortBy: { column: 'name', order: 'asc' },
        ...(search !== undefined && { search }),
      }),
    );
    const objects = fitting(
      data.slice(0, limit).map(({ name, id, metadata, updated_at: updatedAt }) => {
        const about = (metadata ?? {}) as { readonly size?: unknown; readonly mimetype?: unknown };
        return {
          name,
          is_folder: id === null,
          ...(typeof about.size === 'number' && { size_bytes: about.size }),
          ...(typeof about.mimetype === 'string' && { mime_type: about.mimetype }),
          ...(id !== null && { updated_at: updatedAt }),
        };
      }),
    );
    return {
      objects,
      ...(objects.length < data.length && {
        truncated: true as const,
        next_cursor: encodeCursor('list_storage_objects', args, [skip + objects.length]),
      }),
    };
  },
});

export const downloadStorageObject = defineTool({
  name: 'download_storage_object',
  title: 'Download Storage Object',
  description: `Read a file of a bucket, up to ${maxDownloadBytes} bytes: text as text, anything else as base64. For larger ones use create_signed_url.`,
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({ bucket: bucketField, path: pathField }),
  output: z.object({
    text: z.string().optional().describe('Of a file in UTF-8.'),
    base64: z.string().optional().describe('Of any other.'),
    size_bytes: z.int().describe('Of the file.'),
    mime_type: z.string().describe('As the project says.'),
  }),
  text: ({ text, ...rest }) => (text === undefined ? JSON.stringify(rest) : text),

  async handler({ bucket, path }, supabase: Supabase, call) {
    const project = supabase.project();
    requireObjectPath(path);
    const { data } = await ask(project, call, async (client) => client.storage.from(bucket).download(path), {
      maxBytes: maxDownloadBytes,
    });
    const bytes = Buffer.from(await data.arrayBuffer());
    const text = decoded(bytes);
    return {
      ...(text === undefined ? { base64: bytes.toString('base64') } : { text }),
      size_bytes: bytes.length,
      mime_type: data.type,
    };
  },
});

function decoded(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

export const createSignedUrl = defineTool({
  name: 'create_signed_url',
  title: 'Create Signed URL',
  description: 'Make a link that lets anyone who has it read one file of a bucket, for a while.',
  effect: 'read',
  untrusted: 'bounded',
  hints: { ...readingOutside, idempotent: false },
  input: z.object({
    bucket: bucketField,
    path: pathField,
    expires_in_seconds: z.int().min(1).max(604_800).default(3_600).describe('For how long.'),
  }),
  output: z.object({ signed_url: z.string().describe('The link.') }),
  text: ({ signed_url: url }) => url,

  async handler({ bucket, path, expires_in_seconds: seconds }, supabase: Supabase, call) {
    const project = supabase.project();
    requireObjectPath(path);
    const { data } = await ask(project, call, async (client) =>
      client.storage.from(bucket).createSignedUrl(path, seconds),
    );
    return { signed_url: data.signedUrl };
  },
});

export const uploadStorageObject = defineTool({
  name: 'upload_storage_object',
  title: 'Upload Storage Object',
  description:
    'Write a file to a bucket, from text or base64. One that is there stays, unless overwrite is set.',
  effect: 'destroy',
  hints: { ...destroyingOutside, idempotent: true },
  input: z.object({
    bucket: bucketField,
    path: pathField,
    text: z
      .string()
      .refine((text) => text.isWellFormed(), 'must be well-formed')
      .optional()
      .describe('What is in it.'),
    base64: z.base64().optional().describe('Or its bytes.'),
    mime_type: textField(100, 'Of the file.').optional(),
    overwrite: z.boolean().default(false).describe('Replace a file that is there.'),
  }),
  output: z.object({
    path: z.string().describe('Where it lies.'),
    size_bytes: z.int().describe('What was written.'),
  }),

  async handler({ bucket, path, text, base64, mime_type: type, overwrite }, supabase: Supabase, call) {
    const project = supabase.project();
    requireObjectPath(path);
    if ((text === undefined) === (base64 === undefined))
      throw new ToolError('invalid_input', 'Give either text or base64.');
    const bytes = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text);
    if (bytes.length > maxUploadBytes)
      throw new ToolError('too_large', `A file has at most ${maxUploadBytes} bytes here.`);
    const contentType =
      type ?? (text === undefined ? 'application/octet-stream' : 'text/plain;charset=UTF-8');
    const { data } = await ask(project, call, async (client) =>
      client.storage.from(bucket).upload(path, bytes, { contentType, upsert: overwrite }),
    );
    return { path: data.path, size_bytes: bytes.length };
  },
});

export const removeStorageObjects = defineTool({
  name: 'remove_storage_objects',
  title: 'Remove Storage Objects',
  description: 'Delete files of a bucket.',
  effect: 'destroy',
  hints: { ...destroyingOutside, idempotent: true },
  input: z.object({ bucket: bucketField, paths: z.array(pathField).min(1).max(100).describe('Which.') }),
  output: z.object({
    removed: z.array(z.string()).describe('What was there and is gone.'),
    not_found: z.array(z.string()).optional().describe('What was not there.'),
  }),

  async handler({ bucket, paths }, supabase: Supabase, call) {
    const project = supabase.project();
    for (const path of paths) requireObjectPath(path);
    const { data } = await ask(project, call, async (client) => client.storage.from(bucket).remove(paths));
    const removed = data.map(({ name }) => name);
    const missing = paths.filter((path) => !removed.includes(path));
    return { removed, ...(missing.length > 0 && { not_found: missing }) };
  },
});

const userOutput = z.object({
  id: z.string().describe('UUID.'),
  email: z.string().optional().describe('Its address.'),
  phone: z.string().optional().describe('Its number.'),
  role: z.string().optional().describe('In the database.'),
  providers: z.array(z.string()).optional().describe('How it signs in.'),
  created_at: z.string().optional().describe('When it was made.'),
  last_sign_in_at: z.string().optional().describe('When it came last.'),
  banned_until: z.string().optional().describe('Until when it is kept out.'),
});

interface User {
  readonly id: string;
  readonly email?: string | undefined;
  readonly phone?: string | undefined;
  readonly role?: string | undefined;
  readonly created_at?: string | undefined;
  readonly last_sign_in_at?: string | undefined;
  readonly banned_until?: string | undefined;
  readonly app_metadata?: { readonly providers?: unknown } | undefined;
}

/** Without tokens, factors and whatever else lies beside a user. */
function userOf(user: User): z.input<typeof userOutput> {
  const { id, email, phone, role, created_at, last_sign_in_at, banned_until, app_metadata } = user;
  const given = Object.entries({ email, phone, role, created_at, last_sign_in_at, banned_until });
  const providers = app_metadata?.providers;
  return {
    id,
    ...Object.fromEntries(given.filter(([, value]) => typeof value === 'string' && value !== '')),
    ...(Array.isArray(providers) && { providers: providers.map(String) }),
  };
}

export const listAuthUsers = defineTool({
  name: 'list_auth_users',
  title: 'List Auth Users',
  description: 'List the users who can sign in. Needs the secret (service role) key in the settings.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    page: z.int().min(1).max(1_000_000).default(1).describe('Which page.'),
    per_page: z.int().min(1).max(100).default(50).describe('Users of a page.'),
  }),
  output: z.object({
    users: z.array(userOutput).describe('Of this page.'),
    total: z.int().optional().describe('Of all pages.'),
    next_page: z.int().optional().describe('Where it goes on.'),
  }),

  async handler({ page, per_page: perPage }, supabase: Supabase, call) {
    const { data } = await ask(supabase.project(), call, async (client) =>
      client.auth.admin.listUsers({ page, perPage }),
    );
    const { total, nextPage } = data as { readonly total?: number; readonly nextPage?: number | null };
    return {
      users: (data.users as readonly User[]).map(userOf),
      ...(typeof total === 'number' && { total }),
      ...(typeof nextPage === 'number' && { next_page: nextPage }),
    };
  },
});

export const getAuthUser = defineTool({
  name: 'get_auth_user',
  title: 'Get Auth User',
  description: 'Look up one user by id. Needs the secret (service role) key in the settings.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({ id: z.uuid().describe('UUID of the user.') }),
  output: userOutput,

  async handler({ id }, supabase: Supabase, call) {
    const { data } = await ask(supabase.project(), call, async (client) => client.auth.admin.getUserById(id));
    if (!data.user) throw new ToolError('not_found', `There is no user ${id}.`);
    return userOf(data.user);
  },
});

export const callEdgeFunction = defineTool({
  name: 'call_edge_function',
  title: 'Call Edge Function',
  description: 'Call an edge function of the project. What it does is up to its code.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: destroyingOutside,
  input: z.object({
    name: z
      .string()
      .regex(/^[\w-]{1,100}$/, 'must be letters, digits, _ and -')
      .describe('Of the function.'),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('POST').describe('Of HTTP.'),
    body: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ type: 'object', description: 'JSON that it is given.' }),
  }),
  output: z.object({
    result: z.unknown().meta({ type: 'string', description: 'What it answers: JSON or text.' }),
    truncated: z.literal(true).optional().describe('The answer is longer.'),
  }),

  async handler({ name, method, body }, supabase: Supabase, call) {
    const { data } = await ask(supabase.project(), call, async (client) =>
      client.functions.invoke<unknown>(name, {
        method,
        ...(body !== undefined && method !== 'GET' && { body }),
      }),
    );
    const value = data instanceof Blob ? (await data.text()).toWellFormed() : data;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (text.length <= maxDownloadBytes) return { result: value };
    return { result: text.slice(0, maxDownloadBytes), truncated: true as const };
  },
});
