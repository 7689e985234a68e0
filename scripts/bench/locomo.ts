/** Conversations with questions, in the format of LoCoMo (which is not part of the project: licence CC BY-NC 4.0). */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

import { openDatabase } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import { openMemoryIndex } from '../../services/memory/search/memory-index.ts';
import {
  openMemorySearch,
  type SearchRequest,
  type SearchResult,
} from '../../services/memory/search/memory-search.ts';

const turnSchema = z.object({
  dia_id: z.string(),
  text: z.string(),
  speaker: z.string(),
  blip_caption: z.string().default(''),
});
const sampleSchema = z.object({
  sample_id: z.string(),
  conversation: z.record(z.string(), z.unknown()),
  qa: z.array(
    z.object({ question: z.string(), category: z.number(), evidence: z.array(z.string()).default([]) }),
  ),
});

export interface Turn {
  id: string;
  text: string;
  caption: string;
  speaker: string;
  session: string;
  occurredAt: string;
}

interface Question {
  text: string;
  category: number;
  evidence: string[];
}

export interface Conversation {
  name: string;
  turns: Turn[];
  questions: Question[];
}

/** Later than anything in a file. */
export const nowIso = '2100-01-01T00:00:00.000Z';

const migrations = fileURLToPath(new URL('../../services/memory/migrations', import.meta.url));

export function readConversations(file: string): readonly Conversation[] {
  return z
    .array(sampleSchema)
    .parse(JSON.parse(readFileSync(file, 'utf8')))
    .map(({ sample_id, conversation, qa }) => {
      const sessions = Object.keys(conversation)
        .filter((key) => /^session_\d+$/.test(key))
        .toSorted((x, y) => Number(x.slice(8)) - Number(y.slice(8)));
      const turns = sessions.flatMap((session) => {
        const [time, day] = z.string().parse(conversation[`${session}_date_time`]).split(' on ');
        const occurredAt = new Date(`${day} ${time} UTC`).toISOString();
        return z
          .array(turnSchema)
          .parse(conversation[session])
          .map(({ dia_id, text, blip_caption, speaker }) => ({
            id: dia_id,
            text,
            caption: blip_caption,
            speaker,
            session,
            occurredAt,
          }));
      });
      const questions = qa
        .filter(({ category, evidence }) => category < 5 && evidence.length > 0)
        .map(({ question, category, evidence }) => ({
          text: question,
          category,
          // Some entries hold several ids, separated by blanks or semicolons.
          evidence: evidence.flatMap((entry) => entry.match(/D\d+:\d+/g) ?? []),
        }));
      return { name: sample_id, turns, questions };
    });
}

function atOnce<Value>(steps: Steps<Value>): Value {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

/** A database with the search of the memory service, and how to add a turn to it. */
export function openStore(file: string) {
  const db = openDatabase(file, migrations);
  db.exec("INSERT INTO change (id, at, caller, tool) VALUES (1, '', '', '')");
  const index = openMemoryIndex(db);
  const search = openMemorySearch(db, index);
  const insert = db.prepare(
    `INSERT INTO memory (text, project, session, speaker, occurred_at, created_at, valid_from, memory_id)
     VALUES (?, ?, ?, ?, ?, ?, 1, (SELECT coalesce(max(id), 0) + 1 FROM memory))`,
  );
  const place = db.prepare<[number], Parameters<typeof search.around>[0]>(
    'SELECT memory_id, project, session FROM memory WHERE id = ?',
  );
  const add = (project: string, turn: Turn): number => {
    const { text, session, speaker, occurredAt } = turn;
    const id = Number(insert.run(text, project, session, speaker, occurredAt, occurredAt).lastInsertRowid);
    index.prepare([], [{ id, text, project, speaker, tags: [] }]).write();
    return id;
  };
  return {
    db,
    search: (request: SearchRequest): SearchResult => atOnce(search.searchMemories(request)),
    /** What an answer shows with so many neighbours of each hit, by id. */
    shown: (ids: readonly number[], neighbours: number): Set<number> => {
      const rows = ids.flatMap((id) => place.get(id) ?? []);
      const beside = rows.flatMap((row) => Object.values(search.around(row, neighbours)).flat());
      return new Set([...ids, ...beside]);
    },
    add,
  };
}
