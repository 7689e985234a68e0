/** What import_trace takes: a trace in OTLP/JSON, one document or one for each line, or messages of a provider. */
import { ToolError } from '#runtime/errors.ts';
import { OtlpError } from '#runtime/otlp/wire.ts';

import { maxContentLength, maxStepsPerImport } from '../limits.ts';
import { isText } from '../steps/check.ts';
import type { ChainFacts } from '../store/submission.ts';
import { MessageError, saidIn } from './messages.ts';
import { spansInJson } from './spans.ts';
import { chainsOf, type Digest } from './traces.ts';

/** @param uid of the chain, where it is not a trace, which has its own. @throws ToolError invalid_input or too_large. */
export function digestOf(content: string, uid: string, given: ChainFacts): Digest {
  try {
    const digest = digested(content, uid, given);
    const steps = digest.chains.reduce((sum, chain) => sum + chain.steps.length, 0);
    if (steps > maxStepsPerImport)
      throw new ToolError(
        'too_large',
        `It has ${steps} steps; at most ${maxStepsPerImport} are imported at once.`,
      );
    return digest;
  } catch (error) {
    if (error instanceof OtlpError || error instanceof MessageError)
      throw new ToolError('invalid_input', `content: ${error.message}`);
    if (error instanceof RangeError) throw new ToolError('invalid_input', 'content: It is nested too deep.');
    throw error;
  }
}

function digested(content: string, uid: string, given: ChainFacts): Digest {
  if (content.includes('"resourceSpans"')) return chainsOf(linesOf(content).flatMap(spansInJson));
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    throw new ToolError('invalid_input', 'content: It is not JSON.', { hint: forms });
  }
  const said = saidIn(parsed);
  if (!said || said.steps.length === 0)
    throw new ToolError('invalid_input', 'content: There is nothing in it that a model said.', {
      hint: forms,
    });
  const { steps, model, provider } = said;
  const long = steps.find(({ content: text }) => text.length > maxContentLength || !isText(text));
  if (long)
    throw new ToolError(
      isText(long.content) ? 'too_large' : 'invalid_input',
      `content: A text has ${long.content.length} characters; a step takes ${maxContentLength} of well-formed Unicode without NUL.`,
    );
  const facts = {
    ...(model !== undefined && { model }),
    ...(provider !== undefined && { provider }),
    ...given,
  };
  return {
    chains: [{ uid, facts, steps: steps.map((step) => ({ ...step, chain: uid })), evaluations: [] }],
    refused: {},
    ignored: 0,
  };
}

const forms =
  'It takes OTLP/JSON with resourceSpans, or a message or response of Anthropic, OpenAI (Responses) or Gemini, or a list of messages.';

/** One document, or lines of them, as the file exporter writes. */
function linesOf(content: string): readonly string[] {
  try {
    JSON.parse(content);
    return [content];
  } catch {
    return content.split('\n').filter((line) => line.trim() !== '');
  }
}
