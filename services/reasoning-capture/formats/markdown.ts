/** A report to read. */
import { provenances, types } from '../steps/step.ts';
import { evaluationView, isoOf, stepView } from '../steps/view.ts';
import { visible, type Format } from './format.ts';

/** What the text of others could mean in Markdown or HTML, it does not mean here. */
const escaped = (text: string) => visible(text).replaceAll(/[\\`*_{}[\]()#+!|<>&~]/g, String.raw`\$&`);
/** As a quotation: no line of it is a heading or a list of ours. */
const quoted = (text: string) =>
  escaped(text.replaceAll(/\r\n?/g, '\n'))
    .split('\n')
    .map(
      (line) =>
        `> ${line.replace(/^(\s*)(\d+)\./, String.raw`$1$2\.`).replace(/^(\s*)([-=])/, String.raw`$1\$2`)}`,
    )
    .join('\n');
const inLine = (text: string) => escaped(text.replaceAll(/\s+/g, ' ').trim());

const words: Readonly<Record<string, string>> = {
  self_report: 'self-report',
  provider_thinking: 'thinking, from the provider',
  provider_summary: 'summary of thinking, from the provider',
  tool_event: 'tool call',
  redacted: 'redacted',
};

export const markdown = (withContent: boolean): Format => ({
  head(chain, evaluations) {
    const facts = [
      `Model: ${[chain.model, chain.version, chain.effort && `effort ${chain.effort}`]
        .filter(Boolean)
        .map((text) => inLine(String(text)))
        .join(', ')}`,
      ...(chain.agent === null ? [] : [`Agent: ${inLine(chain.agent)}`]),
      `Status: ${chain.status}, begun ${isoOf(chain.started_us)}${chain.ended_us === null ? '' : `, ended ${isoOf(chain.ended_us)}`}`,
      `Steps: ${chain.n_steps} (${chain.n_analysis} analysis, ${chain.n_decision} decision, ${chain.n_inference} inference, ${chain.n_reflection} reflection)`,
      ...evaluations.map((one) => {
        const { name, value, label, explanation, source } = evaluationView(one);
        const judged = [value, label, withContent ? explanation : undefined].filter(
          (part) => part !== undefined,
        );
        return `Judged: ${inLine(name)} ${judged.map((part) => inLine(String(part))).join(', ')}${source === undefined ? '' : ` (${inLine(source)})`}`;
      }),
    ];
    const goal = withContent && chain.goal !== null ? `${quoted(chain.goal)}\n\n` : '';
    return `# Reasoning chain ${chain.uid}\n\nWhat the model said, in its order. It is a statement by the model, and not what caused its answer.\n\n${goal}${facts.map((fact) => `- ${fact}\n`).join('')}\n`;
  },
  step(step) {
    const {
      options = [],
      chosen,
      reasoning,
      premises = [],
      confidence,
      content = '',
    } = stepView(step, withContent);
    const after = [
      ...(step.parent_seq === null ? [] : [`follows ${step.parent_seq}`]),
      ...(confidence === undefined ? [] : [`stated confidence ${confidence}`]),
      words[provenances[step.prov] ?? ''] ?? '',
      ...step.opaque.map(({ kind, payload }) => `${inLine(kind)} of ${payload.length} bytes`),
    ];
    const parts = [
      ...premises.map((text) => `- Premise: ${inLine(text)}`),
      ...options.map(({ label, score }) => {
        const text = `${inLine(label)}${score === undefined ? '' : ` (${score})`}`;
        return label === chosen ? `- **${text}**, chosen` : `- ${text}`;
      }),
      ...(options.length === 0 && chosen !== undefined ? [`- **${inLine(chosen)}**, chosen`] : []),
      ...(reasoning === undefined ? [] : [`- Reasoning: ${inLine(reasoning)}`]),
    ];
    const name = step.subtype === null ? types[step.type] : `${types[step.type]}, ${inLine(step.subtype)}`;
    return `## ${step.seq}. ${name}\n\n${isoOf(step.at_us)}, ${after.join(', ')}\n\n${content === '' ? '' : `${quoted(content)}\n\n`}${parts.length === 0 ? '' : `${parts.join('\n')}\n\n`}`;
  },
  between: '',
  foot: () => '',
});
