/** `docs/commands.md`: every command with its arguments and options, as `--help` has them. */
import type { program as commandLine } from '../flotilla.ts';

type Program = typeof commandLine;
export function commandReference(program: Program): string {
  return [
    '# Commands',
    'Generated from the command line itself by "npm run generate". `flotilla COMMAND --help` says the same.',
    ...program.commands.flatMap((command) =>
      command.commands.length > 0
        ? command.commands.map((below) => section(below, `${command.name()} ${below.name()}`))
        : [section(command, command.name())],
    ),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

function section(command: Program['commands'][number], name: string): string {
  const usage = command.usage();
  const args = command.registeredArguments.map((argument) => [
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
    argument.description,
  ]);
  const options = command.options.map(({ flags, description, argChoices, defaultValue }) => {
    const choices = argChoices ? ` (${argChoices.join(', ')})` : '';
    const byDefault =
      defaultValue === undefined || Array.isArray(defaultValue) ? '' : ` (default ${String(defaultValue)})`;
    return [flags, `${description}${choices}${byDefault}`];
  });
  const rows = [...args, ...options].map(
    ([what = '', why = '']) => `| \`${what.replaceAll('|', '\\|')}\` | ${why.replaceAll('|', '\\|')} |`,
  );
  const table = rows.length === 0 ? [] : [['| | |', '|---|---|', ...rows].join('\n')];
  return [`## flotilla ${name}`, command.description(), `\`flotilla ${name} ${usage}\``, ...table].join(
    '\n\n',
  );
}
