/** What health says of the backups: it makes none, it reads how they stand. */
import { backupTroubles, readBackupState, type BackupState } from '#runtime/data/backup-state.ts';
import { exposed } from '#runtime/account/metrics.ts';

export interface BackupReport extends Partial<BackupState> {
  readonly lastVerifiedAt: string | null;
  /** What a loss of the data would take now: all that was written for so long. */
  readonly recoveryPointAgeMs: number | null;
  readonly troubles: readonly string[];
}

/** @returns `null` where none are meant to be made here, and none were. */
export function lookAtBackups(folder: string, isDue: boolean, nowMs: number): BackupReport | null {
  try {
    const state = readBackupState(folder);
    if (!state && !isDue) return null;
    const { lastVerifiedAt = null } = state ?? {};
    const recoveryPointAgeMs =
      lastVerifiedAt === null ? null : Math.max(0, nowMs - Date.parse(lastVerifiedAt));
    return { ...state, lastVerifiedAt, recoveryPointAgeMs, troubles: backupTroubles(state, nowMs) };
  } catch {
    const troubles = [`the state of the backups in ${folder} cannot be read`];
    return { lastVerifiedAt: null, recoveryPointAgeMs: null, troubles };
  }
}

/** The same answer for `ms`, by a clock that is never set. */
export function keptFor<Value>(ms: number, elapsedMs: () => number, look: () => Value): () => Value {
  let kept: { readonly value: Value; readonly atMs: number } | undefined;
  return () => {
    const nowMs = elapsedMs();
    if (!kept || nowMs - kept.atMs >= ms) kept = { value: look(), atMs: nowMs };
    return kept.value;
  };
}

const seconds = (at: string | null | undefined) => (at ? [` ${Date.parse(at) / 1_000}`] : []);
const known = (value: number | undefined, scale = 1) => (value === undefined ? [] : [` ${value / scale}`]);

/** Nothing is said of what is not known: an alert on an old timestamp needs `absent()` beside it. */
export function backupMetrics(report: BackupReport | null): string {
  const {
    lastSuccessAt,
    lastVerifiedAt,
    durationMs,
    restoreMs,
    archive,
    sizeBytes,
    files,
    failures,
    troubles,
  } = report ?? {};
  return [
    exposed(
      'gauge',
      'flotilla_backup_last_success_timestamp_seconds',
      'When the newest backup was made that holds everything.',
      seconds(lastSuccessAt),
    ),
    exposed(
      'gauge',
      'flotilla_backup_last_verified_timestamp_seconds',
      'When the newest of these was made that was proven by a restore.',
      seconds(lastVerifiedAt),
    ),
    exposed(
      'gauge',
      'flotilla_backup_duration_seconds',
      'How long the last attempt took, with its proof.',
      known(durationMs, 1_000),
    ),
    exposed(
      'gauge',
      'flotilla_backup_restore_seconds',
      'How long the newest proof took to restore everything and open it.',
      known(restoreMs ?? undefined, 1_000),
    ),
    exposed(
      'gauge',
      'flotilla_backup_size_bytes',
      'Size of the newest archive.',
      known(archive ? sizeBytes : undefined),
    ),
    exposed(
      'gauge',
      'flotilla_backup_files',
      'Files in the newest archive.',
      known(archive ? files : undefined),
    ),
    exposed('counter', 'flotilla_backup_failures_total', 'Attempts that failed.', known(failures)),
    exposed(
      'gauge',
      'flotilla_backup_troubles',
      'What a person should look at: 0 when the backups are well.',
      known(troubles?.length),
    ),
  ].join('');
}
