/** Regular expressions of callers, in the syntax of RE2: the time they take grows with the text and no faster, whatever they are. */
import { RE2JS } from 're2js';

import { ToolError } from '#runtime/errors.ts';

const mostCharacters = 1_000;
/** Kept between the pieces of one search. */
const compiled = new Map<string, RE2JS>();
const mostCompiled = 100;

/** @throws ToolError `invalid_input` with what is wrong in the expression. */
export function matcher(source: string): (text: string) => boolean {
  const known = compiled.get(source);
  const expression = known ?? compileOne(source);
  if (!known) {
    if (compiled.size >= mostCompiled) compiled.clear();
    compiled.set(source, expression);
  }
  return (text) => expression.test(text);
}

function compileOne(source: string): RE2JS {
  if (source.length > mostCharacters) {
    throw new ToolError('too_large', `The regular expression has more than ${mostCharacters} characters.`);
  }
  try {
    return RE2JS.compile(source);
  } catch (error) {
    throw new ToolError(
      'invalid_input',
      `This is no regular expression of RE2: ${(error as Error).message}`,
      {
        hint: 'Look-around and back-references are not part of RE2. (?i) at the beginning ignores case.',
      },
    );
  }
}
