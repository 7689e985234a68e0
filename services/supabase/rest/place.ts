/** Paths and names that callers give: what could lead to another place is refused before it is asked for. */
import { ToolError } from '#runtime/errors.ts';

/**
 * A path and query below /rest/v1/, as PostgREST takes them.
 *
 * @throws ToolError for what could lead anywhere else.
 */
export function restPath(given: string): string {
  if (!given.startsWith('/')) refuse('must begin with a slash');
  if (given.startsWith('//')) refuse('must not name a host');
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  if (/[\\\u0000-\u0020\u007f#]/.test(given)) refuse('has a backslash, a #, a space or a control character');
  const [path = ''] = given.split('?', 1);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return refuse('is not well encoded');
  }
  const segments = decoded.slice(1).split('/');
  if (segments.some((segment) => segment === '.' || segment === '..') || /[\\\0]/.test(decoded))
    refuse('must not lead upwards');
  if (decoded.includes('//') || decoded.includes('@')) refuse('must not name a host');
  return given;
}

function refuse(what: string): never {
  throw new ToolError('invalid_input', `path: ${what}`, {
    hint: 'Give a path such as /todos?select=id&limit=10: it begins with one slash.',
  });
}

/** A header takes bytes alone, and PostgREST reads them as UTF-8. */
export const inHeader = (text: string) => Buffer.from(text).toString('latin1');

/** The path of an object in a bucket. @throws ToolError. */
export function requireObjectPath(path: string): string {
  const segments = path.split('/');
  const isBad =
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    /[\\\u0000-\u001f\u007f?#%]/.test(path) ||
    segments.some((segment) => segment === '' || segment === '.' || segment === '..');
  if (!isBad) return path;
  throw new ToolError('invalid_input', 'path: is no path of an object.', {
    hint: 'Give it as list_storage_objects shows it, without a slash at the ends, and without . .. ? # % and \\.',
  });
}
