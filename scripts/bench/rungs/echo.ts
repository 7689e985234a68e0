/** The one small tool of every rung, in the words of the servers that have no runtime. */
export const echoDescription = 'Give a text back.';

export function echoResult(text: string) {
  return {
    content: [{ type: 'text' as const, text: JSON.stringify({ text }) }],
    structuredContent: { text },
  };
}

interface EchoCall {
  readonly id: number;
  readonly params: { readonly arguments: { readonly text: string } };
}

/** Reads and answers a call as a server would that trusts its client in all things. */
export function answerOf(body: string): string {
  const { id, params } = JSON.parse(body) as EchoCall;
  const result = { resultType: 'complete', ...echoResult(params.arguments.text) };
  return JSON.stringify({ jsonrpc: '2.0', id, result });
}
