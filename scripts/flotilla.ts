/** The command line: a table of commands. What each does lies in its own file, loaded when it is called. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

import { allProcesses } from '#config/catalogue.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { version } from '#runtime/process/version.ts';

import { suites } from './bench/suites.ts';
import { tellStarter } from './detached.ts';
import { readEnvironment } from './environment.ts';
import { whyUnreachable } from './reach.ts';

const names = allProcesses.map((entry) => entry.name).join(', ');

function listOf(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Give a whole number above 0.');
  return value;
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_534)
    throw new InvalidArgumentError('Give a port, or 0.');
  return value;
}

/** A line for each, in the form of options. */
function suiteLines(): string {
  const help = Object.assign(program.createHelp(), { helpWidth: process.stdout.columns || 80 });
  const width = Math.max(...Object.keys(suites).map((name) => name.length));
  const lines = Object.entries(suites).map(([name, { measures }]) =>
    help.formatItem(name, width, measures, help),
  );
  return ['Suites:', ...lines].join('\n');
}

const repeated = (value: string, before: readonly string[] = []) => [...before, value];

export const program = new Command('flotilla')
  .description('A fleet of small MCP servers for one Linux host.')
  .version(version)
  .enablePositionalOptions()
  .showHelpAfterError('(flotilla --help lists the commands; flotilla COMMAND --help explains one)')
  .exitOverride();

program
  .command('start')
  .description('Start the fleet in the foreground; Ctrl-C stops it.')
  .option('--only <names>', `exactly these, with commas between: ${names}`, listOf)
  .addOption(
    new Option(
      '--tier <tiers>',
      'the processes of these tiers (1, 2, 3, observer, platform, agent; commas between); health and dashboard, the platform, come with each',
    )
      .argParser(listOf)
      .conflicts('only'),
  )
  .addOption(
    new Option(
      '--agents',
      'the seven agents too, which do tasks of the orchestrator by themselves',
    ).conflicts(['only', 'tier']),
  )
  .option('--root <folder>', 'what the services for files may use; may be repeated', repeated)
  .option('--detach', 'in the background: come back when it is ready; "flotilla stop" ends it')
  .option('--single-process', 'all in one process: the same ports and the same code, for small machines')
  .addOption(
    new Option('--log-level <level>', 'the least severe event to log').choices([
      'debug',
      'info',
      'warn',
      'error',
    ]),
  )
  .action(async (options) =>
    (await import('./commands/start.ts')).start({ root: [], ...options }, readEnvironment()),
  );

program
  .command('stop')
  .description('Stop the fleet: calls that run are finished first.')
  .action(async () => (await import('./commands/stop.ts')).stop(readEnvironment()));

program
  .command('restart')
  .description('Restart processes of a running fleet.')
  .argument('<names...>', names)
  .action(async (chosen) => (await import('./commands/restart.ts')).restart(chosen, readEnvironment()));

program
  .command('status')
  .description('Show every process, and the link to the dashboard.')
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/status.ts')).status(options, readEnvironment()));

program
  .command('dashboard')
  .description('Print a link that opens the dashboard in a browser, once.')
  .action(async () => (await import('./commands/dashboard.ts')).dashboard(readEnvironment()));

program
  .command('validate')
  .description('Check that every process is up, its port its own and its answers well formed.')
  .option('--only <names>', `these alone: ${names}`, listOf)
  .action(async (options) => (await import('./commands/validate.ts')).validate(options, readEnvironment()));

program
  .command('call')
  .description('Call a tool and print what it answers. Without TOOL: list the tools.')
  .argument('<service>', 'for example memory')
  .argument('[tool]', 'for example search_memories; --help after it explains its arguments')
  .argument(
    '[arguments...]',
    'as flags (--query tea), as a JSON object, or - to read one from standard input',
  )
  .option('--timeout <seconds>', 'before SERVICE: give up after this long', positive, 60)
  .passThroughOptions()
  .allowUnknownOption()
  .action(async (service, tool, args, options) =>
    (await import('./commands/call.ts')).call(
      service,
      tool === undefined ? [] : [tool, ...args],
      options,
      readEnvironment(),
    ),
  );

program
  .command('connect')
  .description('Print what connects a client to the fleet, or write it where the client reads it.')
  .argument(
    '[client]',
    'claude-code, claude-code-json, claude-desktop, vscode, cursor, codex, gemini, zed, windsurf, json or json-stdio',
  )
  .argument('[services...]', 'these services alone, or all for an entry of each; without them, the gateway')
  .option(
    '--tools <choice>',
    'fewer tools, such as core, search, code or memory,git: names of tools, services or profiles',
  )
  .option('--write', "merge it into the client's settings, with a token of its own, and try it")
  .addOption(
    new Option('--remove', 'take out what --write wrote, and nothing else; revokes the token').conflicts(
      'write',
    ),
  )
  .option('--dry-run', 'with --write or --remove: show the change, and make none')
  .option('--file <file>', 'with --write or --remove: these settings, instead of the usual place')
  .action(async (client, services, options) =>
    (await import('./commands/connect.ts')).connect(client, services, options, readEnvironment()),
  );

program
  .command('stdio')
  .description('Carry MCP over standard input and output, for clients that start their servers themselves.')
  .argument('[service]', 'one service alone, for example memory; without it, the gateway')
  .option('--tools <choice>', 'fewer tools, as of "flotilla connect"')
  .option('--token-file <file>', 'the token in this file, instead of the usual places')
  .action(async (service, options) =>
    (await import('./commands/stdio.ts')).stdio(service, options, readEnvironment()),
  );

program
  .command('bundle')
  .description('Write the bridge as a bundle (MCPB), which desktop clients install with a click.')
  .option('--to <file>', 'where; in the current folder unless given')
  .action(async (options) => (await import('./commands/bundle.ts')).bundle(options));

const token = program.command('token').description('Make, list and revoke tokens.');
token
  .command('create')
  .description('Make a token and print its secret, once.')
  .argument('<name>', 'what it is for')
  .requiredOption(
    '--allow <scope>',
    'for example memory:read,health:read: SERVICE or SERVICE:EFFECT (read, write, destroy); * is every service; backup for backups, audit for records of calls',
    (scope: string, before: string | undefined) => (before === undefined ? scope : `${before},${scope}`),
  )
  .option('--expires <time>', 'a date, or a time from now such as 12h, 30d')
  .option(
    '--tools <choice>',
    'only these: names of tools or services, SERVICE:core, core, or a profile (coding, data, operations), with commas between; search or code for a short list of all',
  )
  .option('--rate <rate>', 'most calls through the gateway, such as 10/s, 600/min, 5000/h; any unless given')
  .option(
    '--result-tokens <number>',
    'what an answer through the gateway may have; longer ones are kept in context; 0 for any; as the gateway says unless given',
  )
  .option(
    '--confirm <which>',
    'which calls through the gateway a person has to agree to: off, destructive or writes; as the gateway says unless given',
  )
  .action(async (name, options) =>
    (await import('./commands/token.ts')).create(name, options, readEnvironment()),
  );
token
  .command('list')
  .description('Show names, scopes and expiries.')
  .action(async () => (await import('./commands/token.ts')).list(readEnvironment()));
token
  .command('revoke')
  .description('End a token: every process refuses it within a second.')
  .argument('<name>')
  .action(async (name) => (await import('./commands/token.ts')).revoke(name, readEnvironment()));

const audit = program.command('audit').description('Work with the record of calls.');
audit
  .command('verify')
  .description(
    'Find changed, missing or reordered records in the chain of every process, also by what health and the backups saw of it.',
  )
  .argument('[name]', 'one process alone')
  .action(async (name) => (await import('./commands/audit.ts')).verify(name, readEnvironment()));
audit
  .command('accept')
  .description(
    'Say that the records of a process are meant to be as they are: what was seen of them before no longer counts.',
  )
  .argument('<name>', 'the process')
  .action(async (name) => (await import('./commands/audit.ts')).accept(name, readEnvironment()));

audit
  .command('tail')
  .description('Show the newest records of calls: who, what, how it went; never arguments or results.')
  .argument('[names...]', 'of these processes alone')
  .option('-n, --lines <count>', 'how many', positive, 50)
  .option('-f, --follow', 'go on with what comes')
  .option('--json', 'as lines of JSON')
  .action(async (chosen, options) =>
    (await import('./commands/audit-records.ts')).tail(chosen, options, readEnvironment()),
  );
audit
  .command('search')
  .description('Find records of calls.')
  .argument('[names...]', 'of these processes alone')
  .option('--caller <token>', 'by the token of this name')
  .option('--target <text>', 'of tools, prompts and resources with this in their name')
  .option('--outcome <code>', 'ok, or an error code such as forbidden')
  .option('--failed', 'with any outcome but ok')
  .option('--since <time>', 'not before: 30m, 12h, 7d ago, or a date')
  .option('--until <time>', 'not after')
  .option('--trace <id>', 'of this trace, as logs and error references have it')
  .option('--slower-than <ms>', 'that took at least so long', positive)
  .option('-n, --lines <count>', 'how many of the newest', positive, 50)
  .option('--json', 'as lines of JSON')
  .action(async (chosen, options) =>
    (await import('./commands/audit-records.ts')).search(chosen, options, readEnvironment()),
  );

program
  .command('backup')
  .description('Copy what every process keeps into one archive, and prove it by a restore.')
  .option('--to <folder>', 'instead of the folder of the settings')
  .option('--json', 'as JSON')
  .action(async (options) =>
    (await import('./commands/backup.ts')).backup(options, readEnvironment('backup')),
  );

program
  .command('backups')
  .description('List the backups, or what is in one; the list fails when there is none to rely on.')
  .argument('[archive]', 'a path, or a name in the folder of the backups')
  .option('--files', 'with every file of the archive')
  .option('--fresh', 'list nothing; fails unless the newest proven one is younger than three hours')
  .option('--alert', 'run the hooks of the settings when there is none to rely on')
  .option('--from <folder>', 'instead of the folder of the settings')
  .option('--json', 'as JSON')
  .action(async (archive, options) =>
    archive === undefined
      ? (await import('./commands/backups.ts')).backups(options, readEnvironment('backup'))
      : (await import('./commands/contents.ts')).contents(archive, options, readEnvironment('backup')),
  );

program
  .command('prune')
  .description(
    'Remove the backups that are old enough by the settings, all at once; a backup itself removes two at most.',
  )
  .option('--dry-run', 'name them, and change nothing')
  .option('--from <folder>', 'instead of the folder of the settings')
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/prune.ts')).prune(options, readEnvironment('backup')));

program
  .command('verify')
  .description('Prove a backup: restore it to a scratch folder, compare it, open it.')
  .argument('[archive]', 'a path, or a name in the folder of the backups; the newest by default')
  .option('--all', 'every archive in the folder')
  .option('--from <folder>', 'instead of the folder of the settings')
  .option('--json', 'as JSON')
  .action(async (archive, options) =>
    (await import('./commands/verify.ts')).verify(archive, options, readEnvironment('backup')),
  );

program
  .command('restore')
  .description(
    'Put the data of a backup in place; what was there is kept beside it. The processes must be stopped.',
  )
  .argument('[archive]', 'a path, or a name in the folder of the backups; the newest proven one by default')
  .option('--only <names>', `these alone: ${names}`, listOf)
  .option('--force', 'also over data that was written after the backup was made')
  .option(
    '--trust <key>',
    'the public key of the host that made it, so that its tokens are taken over too; "unsigned" for an archive of an older version',
  )
  .option('--dry-run', 'check the archive, say what would happen, and change nothing')
  .option('--from <folder>', 'instead of the folder of the settings')
  .option('--json', 'as JSON')
  .action(async (archive, options) =>
    (await import('./commands/restore.ts')).restore(archive, options, readEnvironment('backup')),
  );

program
  .command('logs')
  .description('Show what the processes logged.')
  .argument('[names...]', 'these alone')
  .option('-n, --lines <count>', 'how many lines of each', positive, 50)
  .option('-f, --follow', 'go on with what comes')
  .option('--since <time>', 'from then on: 15m, 2h ago, yesterday, a date or time; asks the service logging')
  .option('--search <words>', 'lines with all of these words; asks the service logging')
  .addOption(new Option('--level <level>', 'this severe or more').choices(['debug', 'info', 'warn', 'error']))
  .option('--json', 'the lines as they were written')
  .action(async (chosen, options) =>
    (await import('./commands/logs.ts')).logs(chosen, options, readEnvironment()),
  );

const alerts = program
  .command('alerts')
  .description('Show what is not well, and what was; try the webhooks.');
alerts
  .command('list', { isDefault: true })
  .description('Show open alerts with what was found about them, and those of the last days that are over.')
  .option('--days <count>', 'how far back', positive, 7)
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/alerts.ts')).listAlerts(options, readEnvironment()));
alerts
  .command('test')
  .description('Send a test message to every webhook, and say how each answered.')
  .action(async () => (await import('./commands/alerts.ts')).testAlerts(readEnvironment()));

const maintenance = program
  .command('maintenance')
  .description('Times in which nobody is told, and no error budget is spent.');
maintenance
  .command('start')
  .description('Begin one now; it ends by itself.')
  .argument('<names...>', `all, or some of ${names}`)
  .option('--for <time>', 'how long, such as 45m, 12h, 3d; this or --until is needed')
  .option('--until <time>', 'until when, a date or time')
  .requiredOption('--reason <words>', 'why, for whoever asks later; needed')
  .action(async (chosen, options) =>
    (await import('./commands/maintenance.ts')).startMaintenance(chosen, options, readEnvironment()),
  );
maintenance
  .command('list')
  .description('Show those that are open, and those of the last days.')
  .option('--days <count>', 'how far back', positive, 7)
  .option('--json', 'as JSON')
  .action(async (options) =>
    (await import('./commands/maintenance.ts')).listMaintenance(options, readEnvironment()),
  );
maintenance
  .command('end')
  .description('End one before its time.')
  .argument('[number]', 'as list shows it; without it, all that are open', positive)
  .action(async (id) => (await import('./commands/maintenance.ts')).endMaintenance(id, readEnvironment()));

program
  .command('slo')
  .description('Show how much of each error budget is left, and how fast it burns.')
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/slo.ts')).slo(options, readEnvironment()));

const supabase = program.command('supabase').description('Work with the service of this name.');
supabase
  .command('local')
  .description('Start Postgres and PostgREST in a folder, to try the service with; Ctrl-C stops them.')
  .option('--dir <folder>', 'where they keep their data', 'supabase-local')
  .option('--port <number>', 'of the URL; the database gets the next one. 0 takes free ones', port, 54_321)
  .option('--json', 'print the settings as JSON')
  .addOption(new Option('--throwaway').hideHelp())
  .action(async (options) => (await import('./commands/supabase-local.ts')).supabaseLocal(options));

const upstream = program
  .command('upstream')
  .description('Mount MCP servers of others behind the gateway, and look after them.');
upstream
  .command('add')
  .description('Mount a server: an address, or a command that the gateway starts. It is tried first.')
  .argument('<name>', 'for example github; its tools are called github_… unless --prefix says otherwise')
  .argument('[command...]', 'after --: the program and its arguments')
  .option('--url <url>', 'of its Streamable HTTP endpoint')
  .option('--sse', 'with --url: it speaks the older HTTP+SSE')
  .option(
    '--header <header>',
    'with --url: "NAME: VALUE"; may be repeated. Secrets go into a file of their own',
    repeated,
  )
  .option(
    '--env <variable>',
    'of the command: NAME=VALUE; may be repeated. Secrets go into a file of their own',
    repeated,
  )
  .option('--cwd <folder>', 'where the command is started')
  .addOption(
    new Option(
      '--sandbox <class>',
      'what the command may reach: all that the gateway may, the paths named, or these and the network',
    ).choices(['none', 'files', 'network']),
  )
  .option(
    '--read <path>',
    'what it may read in a sandbox, besides programs of the host; may be repeated',
    repeated,
  )
  .option('--write <path>', 'what it may change in a sandbox; may be repeated', repeated)
  .option('--prefix <prefix>', 'before each of its names; "" where they are unique without')
  .option('--timeout <seconds>', 'how long a call may take', positive)
  .option('--no-test', 'without trying it')
  .action(async (name, command, options) =>
    (await import('./commands/upstream.ts')).add(name, command, options, readEnvironment()),
  );
upstream
  .command('list')
  .description('Show what is mounted, how it gets on, and how many definitions are held back.')
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/upstream.ts')).list(options, readEnvironment()));
upstream
  .command('test')
  .description('Connect to a mounted server from here, and show what it offers and what is odd about it.')
  .argument('<name>')
  .action(async (name) => (await import('./commands/upstream.ts')).test(name, readEnvironment()));
upstream
  .command('approve')
  .description('Show what has changed in the definitions of a server since they were pinned, and accept it.')
  .argument('<name>')
  .argument('[definitions...]', 'these alone: names of tools or prompts, or "instructions"')
  .option('--yes', 'accept what is shown')
  .action(async (name, chosen, options) =>
    (await import('./commands/upstream.ts')).approve(name, chosen, options, readEnvironment()),
  );
upstream
  .command('remove')
  .description('Take a server out.')
  .argument('<name>')
  .action(async (name) => (await import('./commands/upstream.ts')).remove(name, readEnvironment()));
upstream
  .command('import')
  .description('Take over the servers that a client has in its settings; shows them unless --write is given.')
  .argument(
    '[client]',
    'claude-code, claude-desktop, vscode, cursor, codex, gemini, zed or windsurf; all by default',
  )
  .option('--file <file>', 'these settings, instead of the usual places')
  .option('--only <names>', 'these servers alone, with commas between', listOf)
  .option('--write', 'mount them')
  .action(async (client, options) =>
    (await import('./commands/upstream.ts')).importFrom(client, options, readEnvironment()),
  );

program
  .command('doctor')
  .description('Look for what keeps a fleet from starting, each with its remedy.')
  .option('--fix', 'offer to install what is missing')
  .action(async (options) => (await import('./commands/doctor.ts')).doctor(readEnvironment(), options));

program
  .command('install')
  .description('Make the fleet a part of this host: hardened systemd units, started at boot. Needs root.')
  .option('--user <name>', 'whose files the services for files work on; they run as this user')
  .option('--root <folder>', 'what they may read and write; may be repeated', repeated)
  .option('--egress <name>', 'a process that may reach the internet; may be repeated', repeated)
  .option('--allow-address <name=address>', 'an address or network that a process may reach', repeated)
  .option('--agents', 'the seven agents too, which do tasks of the orchestrator by themselves')
  .option('--forget', 'allow nothing that an earlier install was told, only what this one is')
  .option('--prefix <folder>', 'write the files below this folder, and start nothing: for packages')
  .option('--dry-run', 'say what would be done')
  .action(async (options) =>
    (await import('./commands/install.ts')).install({ root: [], egress: [], allowAddress: [], ...options }),
  );

program
  .command('upgrade')
  .description('Take the installed fleet over to the code of this folder, without refusing a connection.')
  .option('--dry-run', 'say what would be done')
  .action(async (options) => (await import('./commands/install.ts')).upgrade(options));

program
  .command('uninstall')
  .description('Take the fleet off this host; data, backups and your own settings stay.')
  .option('--dry-run', 'say what would be done')
  .action(async (options) => (await import('./commands/uninstall.ts')).uninstall(options));

program
  .command('install-cli')
  .description('Put the command "flotilla" into your own folder of programs, for use from any folder.')
  .option('--to <folder>', 'instead of ~/.local/bin')
  .action(async (options) =>
    (await import('./commands/install-cli.ts')).installCli(options, readEnvironment()),
  );

program
  .command('completion')
  .description(
    'Print what makes a shell complete commands, names and tools: eval "$(flotilla completion bash)".',
  )
  .argument('<shell>', 'bash or zsh')
  .action(async (shell) => (await import('./commands/completion.ts')).completion(shell, program));

program
  .command('bench')
  .description('Measure what it takes: speed, start and memory, each with its method.')
  .argument('[suites...]', 'as --help and docs/performance.md list them; all of them by default')
  .addOption(new Option('--quick', 'short runs, rough figures').conflicts('full'))
  .option('--full', 'long runs: a million memories, a million calls')
  .option('--data <file>', 'conversations in the format of LoCoMo, for retrieval and scale')
  .option(
    '--service <names...>',
    'in tools, fair and gateway: these services alone, and in fair each of their calls',
  )
  .option('--report <folder>', 'write report.json, report.md and report.html there')
  .addHelpText('after', () => `\n${suiteLines()}`)
  .action(async (chosen, options) => (await import('./commands/bench.ts')).bench(chosen, options));

program
  .command('generate')
  .description('Write the files that follow from the catalogue and the services.')
  .option('--check', 'write nothing; fail when a file is not current')
  .action(async (options) => (await import('./commands/generate.ts')).generate(options));

/** What the operating system refused, such as a full disk, is no bug. */
function systemError(error: unknown): { readonly code: number; readonly line: string } | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined;
  const denial = whyUnreachable(error);
  if (denial !== undefined) return { code: exitCodes.config, line: denial };
  const { code, path, dest, message } = error as NodeJS.ErrnoException & { readonly dest?: string };
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return { code: exitCodes.failed, line: message };
  const place = dest ?? path;
  const where = place === undefined ? '' : ` (${place})`;
  return { code: exitCodes.unavailable, line: `The disk is full${where}: free some space, and try again.` };
}

function complain(words: string): void {
  const complained = `flotilla: ${words}\n`;
  process.stderr.write(complained);
  tellStarter({ complained });
}

async function main(): Promise<void> {
  // Nobody else on the host has a reason to read what the fleet keeps.
  process.umask(0o077);

  // Whoever reads us may have read enough: "flotilla logs | head".
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    complain(`What this command has to say cannot be written: ${error.message}`);
    process.exit(exitCodes.failed);
  });
  // There is nowhere left to say so; the exit code does.
  process.stderr.on('error', () => {});

  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    } else {
      const known = exitOf(error) ?? systemError(error);
      complain(known?.line ?? (error instanceof Error && error.stack ? error.stack : String(error)));
      process.exitCode = known?.code ?? exitCodes.failed;
    }
  }
}

// Not waited for: the reference of commands is made from this module while it runs.
if (import.meta.main) void main();
