import fc from 'fast-check';
import { expect, test } from 'vitest';

import { csvField, CsvReader, TypeFinder, type Field } from './csv.ts';

function read(text: string, pieces = [text], form = { delimiter: ',' }) {
  const records: [number, ...Field[]][] = [];
  const reader = new CsvReader(form, (record, line) => records.push([line, ...record]));
  for (const piece of pieces) reader.push(piece);
  reader.end();
  return records;
}

test.each<[string, string, unknown]>([
  [
    'fields and lines of either end',
    'a,b\r\nc,d\n',
    [
      [1, 'a', 'b'],
      [2, 'c', 'd'],
    ],
  ],
  ['a last line without an end', 'a,b', [[1, 'a', 'b']]],
  ['nothing as NULL, and a quoted nothing as a text', 'a,,""\n', [[1, 'a', null, '']]],
  [
    'quotes, delimiters and lines within quotes',
    '"a ""b"", c\nd",e\nf,g',
    [
      [1, 'a "b", c\nd', 'e'],
      [3, 'f', 'g'],
    ],
  ],
  ['a quote within a field', 'a "b",c\n', [[1, 'a "b"', 'c']]],
  [
    'no record for an empty line',
    'a\n\n\nb\n',
    [
      [1, 'a'],
      [4, 'b'],
    ],
  ],
  ['a quoted nothing alone', '""\n', [[1, '']]],
  [
    'lines that end with a carriage return alone',
    'a,b\rc,"d\re"\r\r\n"f"\r,g',
    [
      [1, 'a', 'b'],
      [2, 'c', 'd\re'],
      [5, 'f'],
      [6, null, 'g'],
    ],
  ],
  [
    'quotes in rows',
    '"""""a""""",""""\n"""",b',
    [
      [1, '""a""', '"'],
      [2, '"', 'b'],
    ],
  ],
  ['a last field that is missing', 'a,\n', [[1, 'a', null]]],
  ['a last field that is missing at the end', 'a,', [[1, 'a', null]]],
])('reads %s, in pieces of every size', (_, text, records) => {
  expect(read(text)).toEqual(records);
  for (let at = 0; at <= text.length; at += 1) {
    expect(read(text, [text.slice(0, at), text.slice(at)]), `cut at ${at}`).toEqual(records);
  }
  expect(read(text, Array.from(text, String))).toEqual(records);
});

test.each([
  ['a quote that is not closed', 'a\n"b', 'Line 2 of the CSV file: a quote is not closed'],
  ['what follows a closing quote', 'a\n"b"c', 'Line 2 of the CSV file: after a closing quote comes "c"'],
  [
    'what follows one after lines of every kind',
    'a\r\n"x\r\ry\r\nz"\rb\n"c"d',
    'Line 7 of the CSV file: after a closing',
  ],
])('names the line of %s', (_, text, message) => {
  expect(() => read(text)).toThrow(message);
});

test('a quote that is never closed ends at a bound', () => {
  const reader = new CsvReader({ delimiter: ',' }, () => {});
  const piece = 'x'.repeat(1024 * 1024);
  reader.push('"');

  expect(() => {
    for (let number = 0; number < 40; number += 1) reader.push(piece);
  }).toThrow('one record is longer than');
});

test('a cell of nothing but quotes is read in time and memory that grow with it alone', () => {
  const quotes = 200_000;
  const records: Field[][] = [];
  const reader = new CsvReader({ delimiter: ',' }, (record) => records.push(record));
  // A reader that begins anew with each piece looks at twenty times as much.
  const piece = '""'.repeat(5_000);
  reader.push('"');
  for (let read = 0; read < quotes; read += 5_000) reader.push(piece);
  reader.push('",b\n');
  reader.end();

  expect(records.map(([cell, ...more]) => [cell?.length, ...more])).toEqual([[quotes, 'b']]);
});

test('a text for NULL alone in its line is a record', () => {
  const records: Field[][] = [];
  const reader = new CsvReader({ delimiter: ',', nullText: 'NULL' }, (record) => records.push(record));
  reader.push('a\nNULL\n\nNULL');
  reader.end();

  expect(records).toEqual([['a'], [null], [null]]);
});

test('another text for NULL counts only where it is not quoted', () => {
  const records: Field[][] = [];
  const reader = new CsvReader({ delimiter: ';', nullText: 'NULL' }, (record) => records.push(record));
  reader.push('NULL;"NULL";null\n');

  expect(records).toEqual([[null, 'NULL', 'null']]);
});

test('what is written is read back, whatever it is', () => {
  const field = fc.option(
    fc.string({ unit: fc.constantFrom('a', 'é', '"', ',', '\n', '\r', '\r\n', ' ', '😀') }),
    { nil: null },
  );
  fc.assert(
    fc.property(fc.array(fc.array(field, { minLength: 2, maxLength: 3 })), fc.nat(), (rows, cut) => {
      const text = rows.map((row) => `${row.map((value) => csvField(value, ',')).join(',')}\r\n`).join('');
      const at = text.length === 0 ? 0 : cut % text.length;

      expect(read(text, [text.slice(0, at), text.slice(at)]).map(([, ...row]) => row)).toEqual(rows);
    }),
    { numRuns: 300 },
  );
});

test.each<[string, Field[], string]>([
  ['integers', ['1', '-20', null], 'INTEGER'],
  ['the largest integer', ['9223372036854775807', '-9223372036854775808'], 'INTEGER'],
  ['one more than that', ['1', '9223372036854775808'], 'TEXT'],
  ['numbers with a point', ['2.5', '3.0'], 'REAL'],
  ['numbers with and without a point', ['1', '2.5'], 'NUMERIC'],
  ['whole numbers with and without a point', ['1', '2.5', '3.0'], 'TEXT'],
  ['digits that a REAL would lose', ['9007199254740993', '0.5'], 'NUMERIC'],
  ['leading zeros', ['1', '007'], 'TEXT'],
  ['zeros at the end', ['1.50'], 'TEXT'],
  ['a plus', ['+1'], 'TEXT'],
  ['white space', ['1', ' 2'], 'TEXT'],
  ['nothing', [null], 'TEXT'],
])('the type of %s gives every value back as it was written', (_, fields, type) => {
  const finder = new TypeFinder();
  for (const field of fields) finder.see(field);

  expect(finder.type).toBe(type);
});
