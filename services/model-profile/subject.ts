/** Who decides: a model as it was set up, or a client. Kinds are never mixed in one figure. */
import { ToolError } from '#runtime/errors.ts';

export const kinds = ['model', 'client'] as const;
export type Kind = (typeof kinds)[number];

export interface Identity {
  readonly kind: Kind;
  readonly name: string;
  readonly version?: string | undefined;
  readonly effort?: string | undefined;
  readonly prompt_hash?: string | undefined;
}

/** Signs that separate the parts of a key are written as %XX where a part has them. */
const part = (text: string) =>
  text
    .normalize('NFC')
    .replaceAll(/[%@+#\s]/g, (sign) => `%${(sign.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);

/** `model:name@version+effort#prompt_hash`; parts that are not set are left out. Two identities never share a key. */
export function keyOf({ kind, name, version, effort, prompt_hash: prompt }: Identity): string {
  const encoded = (sign: string, text: string | undefined) => (text === undefined ? '' : sign + part(text));
  return `${kind}:${part(name)}${encoded('@', version)}${encoded('+', effort)}${encoded('#', prompt)}`;
}

/** A key without its kind is one of a model. */
export function fullKey(given: string): string {
  const text = given.normalize('NFC');
  return kinds.some((kind) => text.startsWith(`${kind}:`)) ? text : `model:${text}`;
}

export function unknownModel(given: string, alike: readonly string[]): ToolError {
  const hint =
    alike.length > 0
      ? `Registered are: ${alike.join(', ')}. Version, effort and prompt hash are part of what a model is.`
      : 'register_model registers it; get_profile without a model lists those that are.';
  return new ToolError('not_found', `The model ${JSON.stringify(given.slice(0, 200))} is not registered.`, {
    hint,
  });
}
