/** Who is compared: a model as it was set up, or a client. Kinds are never ranked together. Keys are those of model-profile. */
export const kinds = ['model', 'client'] as const;
export type Kind = (typeof kinds)[number];

/** `model:name@version+effort#prompt_hash`; a key without its kind is one of a model. */
export function fullKey(given: string): string {
  const text = given.trim().normalize('NFC');
  return kinds.some((kind) => text.startsWith(`${kind}:`)) ? text : `model:${text}`;
}

export function kindOf(key: string): Kind {
  return kinds.find((kind) => key.startsWith(`${kind}:`)) ?? 'model';
}

/** As people write it: a model without its kind. */
export const shortKey = (key: string): string =>
  key.startsWith('model:') ? key.slice('model:'.length) : key;
