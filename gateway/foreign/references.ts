/** Values that stand elsewhere: `${NAME}` for a variable, `${file:/path}` for what a file holds, `$${` for the characters themselves. */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

import { ConfigError } from '#runtime/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface References {
  /** The text with the values in place. @throws ConfigError that names what is missing, and where it goes. */
  resolve(text: string): string;
  /** Text for a log or an error, without any value that was put in. */
  redact(text: string): string;
}

/** Shorter values are no secrets: taking them out would leave nothing readable. */
const shortestSecret = 6;
const longestSecret = 64 * 1024;

/** The environment wins over the file of secrets, which is read when it is first needed. */
export function openReferences(secretsFile: string, environment: Environment): References {
  const known = new Map<string, string>();
  let secrets: Environment | undefined;

  function valueOf(reference: string): string {
    if (reference.startsWith('file:')) return contentsOf(reference.slice('file:'.length));
    const value = environment[reference] ?? (secrets ??= readSecrets(secretsFile))[reference];
    if (value === undefined) {
      throw new ConfigError(
        `The variable ${reference} is not set. Put it into ${secretsFile} as ${reference}=value, or into the environment of the gateway.`,
      );
    }
    return value;
  }

  return {
    resolve: (text) =>
      text.replaceAll(/\$\$\{|\$\{([^}]*)\}/g, (_, reference: string | undefined) => {
        if (reference === undefined) return '${';
        const value = valueOf(reference);
        if (value.length >= shortestSecret) known.set(value, reference);
        return value;
      }),
    redact: (text) => {
      let clean = text;
      for (const [value, reference] of known) clean = clean.replaceAll(value, `[${reference}]`);
      return clean;
    },
  };
}

function readSecrets(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return {};
    throw new ConfigError(`${file} cannot be read (${code}): check its owner and permissions.`, {
      cause: error,
    });
  }
}

function contentsOf(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > longestSecret) throw new ConfigError(`${path} is too long for a secret.`);
    return text.trim();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `The file ${path} cannot be read (${code}): make it, and let the gateway read it.`,
      {
        cause: error,
      },
    );
  }
}
