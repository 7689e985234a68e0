/** Whether an address is one that a template of RFC 6570 stands for: a look at its fixed parts, in one pass. */
export function matchesTemplate(template: string, uri: string): boolean {
  const fixed = template.split(/\{[^{}]*\}/);
  const first = fixed.shift() ?? '';
  const last = fixed.pop();
  if (last === undefined) return uri === template;
  if (!uri.startsWith(first) || !uri.endsWith(last) || uri.length < first.length + last.length) return false;
  let at = first.length;
  const end = uri.length - last.length;
  for (const part of fixed) {
    const found = uri.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  // One that is all variable would take every address.
  return /^[a-z][a-z0-9+.-]*:/i.test(first);
}
