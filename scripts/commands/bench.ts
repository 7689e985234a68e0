/** `flotilla bench`: measures, tells how, and writes a report. */
import { join, resolve } from 'node:path';

import { catalogue, isService } from '#config/catalogue.ts';
import { exitCodes, UsageError } from '#runtime/errors.ts';
import { makeFolder, writeFileAtomic } from '#runtime/files.ts';

import { interruptions } from '../bench/child.ts';
import { describeMachine } from '../bench/machine.ts';
import { reportPage } from '../bench/report-page.ts';
import { originOf, reportMarkdown, sectionText, type Report } from '../bench/report.ts';
import { skippedSection, type BenchContext, type Depth, type Section } from '../bench/section.ts';
import { suiteNames, suites, type SuiteName } from '../bench/suites.ts';
import { requireAutocannon } from '../bench/traffic.ts';
import { isThere } from '../reach.ts';

interface BenchOptions {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly data?: string;
  readonly service?: readonly string[];
  readonly report?: string;
}

export async function bench(chosen: readonly string[], options: BenchOptions): Promise<void> {
  const names = chosenSuites(chosen);
  if (options.data !== undefined) await requireConversations(options.data);
  requireAutocannon();
  const depth: Depth = options.quick ? 'quick' : options.full ? 'full' : 'normal';
  const context: BenchContext = {
    depth,
    data: options.data,
    services: options.service && chosenServices(options.service),
    progress: (line) => process.stderr.write(`${line}\n`),
  };
  const machine = describeMachine();
  process.stdout.write(`${originOf({ machine, depth, sections: [] })}\n`);
  let interrupted = false;
  for (const signal of interruptions) {
    process.on(signal, () => {
      // A second Ctrl-C does not wait until everything is tidied away.
      if (interrupted) process.exit(exitCodes.failed);
      interrupted = true;
    });
  }
  const sections: Section[] = [];
  for (const name of names) {
    const measured = await run(name, context);
    if (interrupted) {
      process.exitCode = exitCodes.failed;
      break;
    }
    for (const section of measured) process.stdout.write(sectionText(section));
    sections.push(...measured);
  }
  if (options.report !== undefined) await writeReport(resolve(options.report), { machine, depth, sections });
  if (sections.some(({ faults = [] }) => faults.length > 0)) process.exitCode = exitCodes.failed;
}

/** @throws UsageError for a name that is none. */
function chosenSuites(chosen: readonly string[]): readonly SuiteName[] {
  const unknown = chosen.find((name) => !(suiteNames as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new UsageError(`There is no suite ${unknown}. There are: ${suiteNames.join(', ')}.`);
  return chosen.length === 0 ? suiteNames : suiteNames.filter((name) => chosen.includes(name));
}

/** @throws UsageError for a name that is none. */
function chosenServices(names: readonly string[]): readonly string[] {
  const known: readonly string[] = catalogue.filter(isService).map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  throw new UsageError(`There is no service ${unknown}. There are: ${known.join(', ')}.`);
}

/** Before anything is measured for an hour. @throws UsageError or the system's error. */
async function requireConversations(file: string): Promise<void> {
  if (!isThere(file)) throw new UsageError(`--data ${file}: there is no such file.`);
  const { readConversations } = await import('../bench/locomo.ts');
  try {
    readConversations(file);
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) throw cause;
    throw new UsageError(`--data ${file}: these are no conversations in the format of LoCoMo.`, { cause });
  }
}

/** A suite that breaks must not take the figures of the others with it. */
async function run(name: SuiteName, context: BenchContext): Promise<readonly Section[]> {
  try {
    const suite = await suites[name].load();
    return await suite(context);
  } catch (error) {
    context.progress(error instanceof Error ? (error.stack ?? error.message) : String(error));
    const reason = error instanceof Error ? error.message : String(error);
    return [{ ...skippedSection(name, `it broke: ${reason}`), faults: [`${name} broke`] }];
  }
}

async function writeReport(folder: string, report: Report): Promise<void> {
  makeFolder(folder, 0o777);
  const files = {
    'report.json': `${JSON.stringify(report, null, 2)}\n`,
    'report.md': reportMarkdown(report),
    'report.html': await reportPage(report),
  };
  for (const [name, contents] of Object.entries(files)) writeFileAtomic(join(folder, name), contents);
  process.stdout.write(`\nReport  ${join(folder, 'report.html')}\n`);
}
