import { resolve } from 'node:path';

import type { HostSettings } from '#config/settings.ts';

/** Beside the data folder, so that what takes the one away does not take the other. */
export function backupFolder({ FLOTILLA_BACKUPS, FLOTILLA_DATA }: HostSettings): string {
  return resolve(FLOTILLA_BACKUPS ?? `${resolve(FLOTILLA_DATA)}-backups`);
}
