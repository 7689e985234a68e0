/** Templates of resource URIs, as RFC 6570 has them at level 1. */

/** A variable takes one path segment, percent-decoded; compared piece by piece, so that no pattern can run away. */
export function matchUri(template: string, uri: string): Record<string, string> | undefined {
  const pieces = template.split(/\{(\w+)\}/);
  const variables: Record<string, string> = {};
  let rest = uri;
  for (let index = 0; index < pieces.length; index += 2) {
    const literal = pieces[index] ?? '';
    if (!rest.startsWith(literal)) return undefined;
    rest = rest.slice(literal.length);
    const variable = pieces[index + 1];
    if (variable === undefined) return rest === '' ? variables : undefined;
    const next = pieces[index + 2] ?? '';
    const end = next === '' ? rest.length : rest.indexOf(next);
    const value = end < 0 ? '' : rest.slice(0, end);
    if (value === '' || value.includes('/')) return undefined;
    try {
      variables[variable] = decodeURIComponent(value);
    } catch {
      return undefined;
    }
    rest = rest.slice(end);
  }
  return undefined;
}
