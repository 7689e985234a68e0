/** A handoff as a person or a model reads it. */

import { pageOf, pageBytes } from '#runtime/page.ts';
import type { Handoff } from './handoffs.ts';

const listed = (points: readonly string[]) =>
  points.length === 0 ? 'None.' : points.map((point) => `- ${point.replaceAll('\n', '\n  ')}`).join('\n');

export function documentOf({
  id,
  state,
  created_by,
  created_at,
  accepted_by,
  accepted_at,
  sections,
}: Handoff): string {
  const accepted = state === 'accepted' ? `, accepted by ${accepted_by} at ${accepted_at}` : ', open';
  return [
    `# Handoff ${id}`,
    `Written by ${created_by} at ${created_at}${accepted}.`,
    '## Goal',
    sections.goal,
    '## State',
    sections.state,
    '## Decisions',
    listed(sections.decisions),
    '## Open questions',
    listed(sections.open_questions),
    '## Files',
    listed(sections.files),
    '## Next actions',
    listed(sections.next_actions),
  ].join('\n\n');
}

/** As much as an answer holds, and how to read on. */
export function beginningOf(handoff: Handoff): string {
  const { text, next } = pageOf(documentOf(handoff), 0, pageBytes);
  return next === undefined ? text : `${text}\n\n[truncated: read_handoff has all of it]`;
}
