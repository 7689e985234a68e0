/** What a run left behind or lost, and how to go on: in words. */
import type { Level } from '#runtime/launcher.ts';

import type { Done } from './python.ts';

const mostNotes = 10;
const mostDetail = 500;

interface Circumstances {
  readonly code: string;
  readonly level: Level;
  readonly isSession: boolean;
}

export function notesOf({ head, exit, endedProcesses }: Done, around: Circumstances): string[] {
  const { code, level, isSession } = around;
  const told = toldIn(head?.['notes']).flatMap(
    ([kind, detail]) => new Map(Object.entries(texts(detail, isSession))).get(kind) ?? [],
  );
  return [
    ...(exit && isSession ? [lost] : []),
    ...(pip.test(code) ? [noPip] : []),
    ...told.filter((text) => text !== noNetwork || level === 'sandbox'),
    ...(endedProcesses > 0
      ? [`Processes that the run had started were ended with it: ${endedProcesses}.`]
      : []),
  ];
}

const noHost =
  'Code sees nothing of the host itself: neither files nor network. Tools do, such as fleet.read_text_file(path="/…").';
const reachesHost = /^(?:FileNotFoundError|PermissionError|OSError): .*'\/(?!session\b)/m;

/** Of a program that calls tools of the fleet. */
export function programNotes(done: Done, code: string, error = ''): string[] {
  const notes = notesOf(done, { code, level: 'sandbox', isSession: false });
  const isOutside = notes.includes(noNetwork) || reachesHost.test(error);
  return [...notes.filter((text) => text !== noNetwork), ...(isOutside ? [noHost] : [])];
}

/** As shells, notebooks and `subprocess` call it. */
const pip = /^\s*[!%]\s*pip3?\b|\bpip3?\b["',\s]+install\b/m;

const noPip =
  'pip cannot install anything here. list_python_packages shows the packages that are there; only the operator adds others.';
const noNetwork =
  'There is no network in the sandbox. Send data with global_variables, or with write_python_file into a session.';
const lost =
  'The variables of the session are lost, and its files are as the run before left them. The next run in it starts a new interpreter.';

/** By what the runner calls them. What is of no use after a run alone is not said of one. */
const texts = (detail: string, isSession: boolean): Readonly<Record<string, string | undefined>> => ({
  module: `There is no module ${detail} here. list_python_packages shows the packages that are there; only the operator adds others.`,
  network: noNetwork,
  pools:
    'A pool of multiprocessing was ended, as its processes end with each run. Make a new one in each run.',
  threads: isSession
    ? `Threads still run: ${detail}. They stand still between runs, and go on while the next one runs.`
    : `Threads had not ended, and were stopped with the run: ${detail}. Wait for them with join().`,
  ...(isSession && {
    timer: 'A timer of the module signal was still set, and is cancelled.',
    streams: `These were closed or replaced, and are the output again: ${detail}.`,
    folder: `The current folder is ${detail}, where files are not kept. os.chdir(os.environ["HOME"]) leads back.`,
    'folder-gone': 'The current folder was removed: it is the folder of the session again.',
  }),
});

/** Code can say anything there. */
function toldIn(value: unknown): (readonly [kind: string, detail: string])[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, mostNotes).flatMap((one: unknown) => {
    if (!Array.isArray(one)) return [];
    const [kind, detail] = one as unknown[];
    if (typeof kind !== 'string' || typeof detail !== 'string') return [];
    return [[kind, detail.slice(0, mostDetail).toWellFormed()] as const];
  });
}
