/** A file with a part that is generated: everything between the two markers. @throws Error when they are gone. */
export function withPart(
  file: { readonly path: string; readonly text: string },
  { begin, end }: { readonly begin: string; readonly end: string },
  part: string,
): string {
  const { path, text } = file;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${path} lacks the markers ${begin} and ${end}.`);
  return `${text.slice(0, from + begin.length)}\n\n${part}\n\n${text.slice(to)}`;
}
