/** `flotilla audit verify`: does every chain of records hold? */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { catalogue } from '#config/catalogue.ts';
import { verifyAudit } from '#runtime/account/audit-chain.ts';
import { ConfigError, exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { entriesNamed } from '../environment.ts';

export async function verify(name: string | undefined, environment: Environment): Promise<void> {
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  const names = (name === undefined ? catalogue : entriesNamed([name])).map((entry) => entry.name);
  const present = names.filter((one) => existsSync(join(dataRoot, one)));
  if (present.length === 0)
    throw new ConfigError(
      `There are no audit records in ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`,
    );
  for (const one of present) {
    const { records, faults } = await verifyAudit(join(dataRoot, one, 'audit'));
    process.stdout.write(
      `${one}: ${records} records, ${faults.length === 0 ? 'the chain holds' : `${faults.length} faults`}\n`,
    );
    for (const fault of faults) process.stdout.write(`  ${fault}\n`);
    if (faults.length > 0) process.exitCode = exitCodes.failed;
  }
}
