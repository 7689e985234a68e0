/** The regular expressions of filters: each is compiled once for the many pieces of a search. */
import { compilePattern } from './pattern.ts';

const compiled = new Map<string, (text: string) => boolean>();
const mostCompiled = 100;

/** @throws ToolError `invalid_input` with what is wrong in the expression, `too_large`. */
export function matcher(source: string): (text: string) => boolean {
  let test = compiled.get(source);
  if (!test) {
    ({ test } = compilePattern(source));
    if (compiled.size >= mostCompiled) compiled.clear();
    compiled.set(source, test);
  }
  return test;
}
