/** What a server offers, as the protocol lists it. */
export type Listed = { readonly [key: string]: unknown };
export type ListedTool = {
  readonly name: string;
  readonly description?: string;
  readonly inputSchema: { readonly type: 'object' } & Record<string, unknown>;
  readonly [key: string]: unknown;
};

export interface Surface {
  readonly instructions: string;
  readonly tools: readonly ListedTool[];
  readonly resources: readonly Listed[];
  readonly resourceTemplates: readonly Listed[];
  readonly prompts: readonly Listed[];
}
