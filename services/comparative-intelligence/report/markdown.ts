/** The report as Markdown. Names are text of others: nothing in them may become a heading, a link or markup. */
import { shortKey } from '../subject.ts';
import type { ReportData } from './report.ts';
import { shownInterval, shownMix, shownP, shownValue } from './shown.ts';

/** What begins a list, an address that some readers make a link of, and signs with a meaning within a line. */
const safe = (text: string): string =>
  text
    .replaceAll(/\s+/g, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[\\`*_{}[\]()#|~!]/g, String.raw`\$&`)
    .replace(/^(\d*)([-+.=])/, String.raw`$1\$2`)
    .replaceAll('://', ':&#47;&#47;')
    .replaceAll(/www\./gi, (start) => `${start.slice(0, -1)}&#46;`)
    .replaceAll('@', '&#64;');

const name = (key: string): string => safe(shortKey(key));

const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function reportMarkdown(data: ReportData): string {
  const { ranking, pairs, strengths, agreement } = data;
  const parts = [
    `# ${safe(data.title)}`,
    data.summary.map((line) => `- ${safe(line)}`).join('\n'),
    `As of ${data.as_of}; snapshot \`${data.snapshot_id}\`; seed ${data.seed}${data.task_type === null ? '' : `; task type ${safe(data.task_type)}`}. Intervals are of 95 %.`,
  ];
  if (ranking) {
    parts.push(
      '## Ranking',
      table(
        [
          'Rank',
          data.kind === 'model' ? 'Model' : 'Client',
          'Rating',
          '95 %',
          'Games',
          'Won',
          'Lost',
          'Tied',
          'Against the next',
        ],
        ranking.rows.map((row) => [
          row.rank === row.worst_rank ? row.rank : `${row.rank}–${row.worst_rank}`,
          name(row.model),
          row.rating,
          row.ci95.join(' to '),
          row.n,
          row.wins,
          row.losses,
          row.ties,
          row.vs_next ? `${row.vs_next.verdict} (p ${shownP(row.vs_next.p_adjusted)})` : '',
        ]),
      ),
      `${ranking.method}. Sources: ${shownMix(ranking.source_mix)}. ${ranking.warnings.map(safe).join(' ')}`,
    );
  }
  if (pairs.length > 0) {
    parts.push(
      '## Each two',
      table(
        ['One', 'Other', 'Difference', '95 %', 'n', 'p, adjusted', 'Verdict', 'n needed'],
        pairs.map((pair) => [
          name(pair.one),
          name(pair.other),
          shownValue(pair),
          shownInterval(pair),
          pair.n,
          shownP(pair.p_adjusted),
          pair.verdict ?? '',
          pair.needed_n ?? '',
        ]),
      ),
      'Adjusted by Benjamini-Hochberg.',
    );
  }
  if (strengths.length > 0) {
    parts.push('## By kind of task');
    for (const profile of strengths) {
      parts.push(
        `### ${name(profile.key)}`,
        `Overall ${shownValue(profile.overall)} (${shownInterval(profile.overall)}), n ${profile.overall.n}: ${profile.overall.method}.`,
        table(
          ['Task type', 'Verdict', 'Difference', '95 %', 'n', 'p, adjusted'],
          [...profile.strengths, ...profile.weaknesses, ...profile.others].map((row) => [
            safe(row.task_type),
            row.verdict ?? '',
            shownValue(row),
            shownInterval(row),
            row.n,
            shownP(row.p_adjusted),
          ]),
        ),
      );
    }
  }
  if (agreement) {
    parts.push(
      '## Judges',
      `Krippendorff's α ${shownValue(agreement.alpha)} (${shownInterval(agreement.alpha)}), n ${agreement.alpha.n}. ${agreement.alpha.warnings.map(safe).join(' ')}`,
      table(
        ['Judges', 'κ', '95 %', 'n'],
        agreement.pairs.map((pair) => [
          pair.judges.map(safe).join(' and '),
          shownValue(pair),
          shownInterval(pair),
          pair.n,
        ]),
      ),
    );
  }
  if (data.warnings.length > 0)
    parts.push('## What is missing', data.warnings.map((line) => `- ${safe(line)}`).join('\n'));
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}
