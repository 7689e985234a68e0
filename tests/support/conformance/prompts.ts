import type { Prompt } from '#runtime/service.ts';

import { ask, filledIn, form } from './asking-tools.ts';
import { pngBase64 } from './fixture.ts';

const say = (words: string) => ({ role: 'user', content: { type: 'text', text: words } }) as const;

const cities = ['paris', 'prague', 'testville'];

export const prompts: readonly Prompt<unknown>[] = [
  {
    name: 'test_simple_prompt',
    title: 'Simple prompt',
    description: 'A prompt without arguments.',
    arguments: {},
    messages: () => [say('This is a simple prompt for testing.')],
  },
  {
    name: 'test_prompt_with_arguments',
    title: 'Prompt with arguments',
    description: 'A prompt that repeats its arguments.',
    arguments: {
      arg1: {
        description: 'First test argument',
        required: true,
        complete: (typed) => cities.filter((city) => city.startsWith(typed)),
      },
      arg2: { description: 'Second test argument', required: true },
    },
    messages: ({ arg1, arg2 }) => [say(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  },
  {
    name: 'test_prompt_with_embedded_resource',
    title: 'Prompt with a resource',
    description: 'A prompt that carries a document.',
    arguments: { resourceUri: { description: 'URI of the document', required: true } },
    messages: ({ resourceUri }) => [
      {
        role: 'user',
        content: {
          type: 'resource',
          resource: {
            uri: resourceUri,
            mimeType: 'text/plain',
            text: 'Embedded resource content for testing.',
          },
        },
      },
      say('Please process the embedded resource above.'),
    ],
  },
  {
    name: 'test_prompt_with_image',
    title: 'Prompt with an image',
    description: 'A prompt that carries an image.',
    arguments: {},
    messages: () => [
      { role: 'user', content: { type: 'image', data: pngBase64, mimeType: 'image/png' } },
      say('Please analyze the image above.'),
    ],
  },
  {
    name: 'test_input_required_result_prompt',
    title: 'Prompt that asks back',
    description: 'A prompt that needs an answer of the user first.',
    arguments: {},
    messages: (_args, _deps, call) => {
      const answer = filledIn(call, 'user_context');
      return answer
        ? [say(`Use this context: ${String(answer['context'])}`)]
        : ask({
            user_context: form('What context should the prompt use?', { context: { type: 'string' } }),
          });
    },
  },
];
