/** `flotilla dashboard`: a link that signs a browser in, once. */
import { entryOf } from '#config/catalogue.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { signInLink } from '../environment.ts';

export async function dashboard(environment: Environment): Promise<void> {
  const entry = entryOf('dashboard');
  if (!entry) return;
  const { url, minutes } = await signInLink(parseHostSettings(environment), entry);
  process.stdout.write(`${url}\n`);
  process.stderr.write(`It opens the dashboard once, within ${minutes} minutes.\n`);
}
