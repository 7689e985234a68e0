/** `flotilla completion SHELL`: what the shell offers after a tab. */
import { readFileSync } from 'node:fs';

import { allProcesses, catalogue, isService, offersTools } from '#config/catalogue.ts';
import { UsageError } from '#runtime/errors.ts';

import { clients } from '../clients.ts';
import type { program as commandLine } from '../flotilla.ts';

type Program = typeof commandLine;

const shells = ['bash', 'zsh'];

/** Names as the generated list of each service's tools has them. */
function toolsOf(service: string): string[] {
  const file = new URL(`../../tests/surface/${service}.json`, import.meta.url);
  const { tools } = JSON.parse(readFileSync(file, 'utf8')) as { tools: { name: string }[] };
  return tools.map(({ name }) => name);
}

/** What may stand after a command, besides its options. */
function wordsAfter(command: Program['commands'][number]): readonly string[] {
  const names = allProcesses.map(({ name }) => name);
  if (command.commands.length > 0) return command.commands.map((one) => one.name());
  if (command.name() === 'call') return catalogue.filter(offersTools).map(({ name }) => name);
  if (command.name() === 'connect') return Object.keys(clients);
  if (command.name() === 'completion') return shells;
  return ['restart', 'logs'].includes(command.name()) ? names : [];
}

export function completion(shell: string, program: Program): void {
  if (!shells.includes(shell))
    throw new UsageError(`There is no completion for ${shell}. There is: ${shells.join(', ')}.`);
  const names = allProcesses.map(({ name }) => name).join(' ');
  const cases = program.commands.map((command) => {
    const options = command.options.map(({ long }) => long ?? '');
    return `    ${command.name()}) words='${[...wordsAfter(command), ...options].join(' ')}' ;;`;
  });
  const tools = catalogue
    .filter(isService)
    .map(({ name }) => `      ${name}) words='${toolsOf(name).join(' ')}' ;;`);
  process.stdout
    .write(`# ${shell === 'bash' ? 'eval "$(flotilla completion bash)"' : 'eval "$(flotilla completion zsh)"'}
${shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_flotilla() {
  local words='' current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  case $COMP_CWORD in
  1) words='${program.commands.map((command) => command.name()).join(' ')}' ;;
  *) case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    esac
    [ "$before" != --only ] || words='${names}'
    if [ "\${COMP_WORDS[1]}" = call ] && [ "$COMP_CWORD" = 3 ]; then
      case "$before" in
${tools.join('\n')}
      esac
    fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _flotilla flotilla
`);
}
