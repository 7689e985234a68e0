/** The sums that are being changed, in memory, and written with the next commit. */
import type { Database } from '#runtime/database.ts';

import { decodeCell, emptyCell, encodeCell, type Cell } from './cell.ts';

interface KnownCell {
  /** 0 as long as it is not stored. */
  id: number;
  readonly model: number;
  readonly day: number;
  readonly taskType: number;
  readonly sums: Cell;
}

/** Cells that stay in memory, some 8 kB each. */
const mostCells = 8_192;
/** Of all tokens together, so that day, kind of task and model are one number below 2^53. */
export const idsOfTaskTypes = 2 ** 16;
export const idsOfModels = 2 ** 20;

export function openCells(database: Database) {
  const find = database.prepare<[number, number, number], { id: number; sums: Buffer }>(
    'SELECT id, sums FROM cell WHERE model = ? AND day = ? AND task_type = ?',
  );
  const insert = database.prepare('INSERT INTO cell VALUES (NULL, ?, ?, ?, ?)');
  const update = database.prepare('UPDATE cell SET sums = ? WHERE id = ?');
  const cells = new Map<number, KnownCell>();
  const touched = new Set<KnownCell>();

  /** To be called in the transaction. */
  function flush(): void {
    for (const cell of touched) {
      const sums = encodeCell(cell.sums);
      if (cell.id === 0)
        cell.id = Number(insert.run(cell.model, cell.day, cell.taskType, sums).lastInsertRowid);
      else update.run(sums, cell.id);
    }
    touched.clear();
  }

  /** The half that came first. */
  function forgetSome(): void {
    flush();
    let left = mostCells / 2;
    for (const key of cells.keys()) {
      if (left === 0) break;
      cells.delete(key);
      left -= 1;
    }
  }

  return {
    flush,
    /** What is in memory may not be what is on disk. */
    forget(): void {
      cells.clear();
      touched.clear();
    },
    /** To be changed. */
    of(model: number, day: number, taskType: number): Cell {
      const key = (day * idsOfTaskTypes + taskType) * idsOfModels + model;
      let cell = cells.get(key);
      if (!cell) {
        if (cells.size >= mostCells) forgetSome();
        const row = find.get(model, day, taskType);
        cell = { id: row?.id ?? 0, model, day, taskType, sums: row ? decodeCell(row.sums) : emptyCell() };
        cells.set(key, cell);
      }
      touched.add(cell);
      return cell.sums;
    },
  };
}
