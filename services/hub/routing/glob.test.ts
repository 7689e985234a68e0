import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  nameGlob,
  namePatternField,
  reservationField,
  topicField,
  topicGlob,
  topicPatternField,
} from './glob.ts';
import { TopicIndex } from './topics.ts';

const foundIn = (index: TopicIndex<string>, topic: string) =>
  [...index.fitting(topic)].filter((one) => one !== undefined).toSorted();

describe('A pattern fits', () => {
  test.each([
    ['build.done', 'build.done', true],
    ['build.done', 'build.done.x', false],
    ['build.*', 'build.done', true],
    ['build.*', 'build', false],
    ['build.*', 'build.', true],
    ['build.*', 'build.done.fast', false],
    ['build.**', 'build', true],
    ['build.**', 'build.done.fast', true],
    ['build.**', 'builds.done', false],
    ['**', 'a.b.c', true],
    ['*', 'a.b', false],
    ['**.done', 'done', true],
    ['**.done', 'a.b.done', true],
    ['**.done', 'a.done.b', false],
    ['a.**.b', 'a.b', true],
    ['a.**.b', 'a.b.x.b', true],
    ['a.**.b', 'a.b.x', false],
    ['a.**.**.b', 'a.b', true],
    ['**.a.**.b.**', 'x.a.y.b', true],
    ['**.a.**.b.**', 'x.b.y.a', false],
    ['task-?', 'task-1', true],
    ['task-?', 'task-12', false],
    ['task-?', 'task-', false],
    ['t*k.*-*', 'task.a-b', true],
    ['?', '\u{1f600}', true],
    ['??', '\u{1f600}', false],
    ['*?', '\u{1f600}', true],
    ['*??', '\u{1f600}', false],
  ])('the topic pattern %j and %j: %j', (pattern, topic, fits) => {
    const index = new TopicIndex<string>();
    index.add(pattern, 'it');

    expect(topicGlob(pattern)(topic)).toBe(fits);
    expect([...index.fitting(topic)]).toEqual(fits ? ['it'] : []);
  });

  test.each([
    ['reviewer-*', 'reviewer-1.a', true],
    ['*', 'a.b', true],
    ['**', 'a.b', true],
    ['*.b', 'a.b', true],
    ['a', 'a', true],
    ['a', 'ab', false],
    ['?', 'ab', false],
  ])('the name pattern %j and %j: %j', (pattern, name, fits) => {
    expect(nameGlob(pattern)(name)).toBe(fits);
  });

  /** What a pattern means, said once more and slowly. */
  function meant(pattern: string, text: string, isTopic: boolean): boolean {
    if (pattern === '') return text === '';
    if (pattern.startsWith('*')) {
      const takes = text !== '' && !(isTopic && text.startsWith('.'));
      return meant(pattern.slice(1), text, isTopic) || (takes && meant(pattern, text.slice(1), isTopic));
    }
    const takes = pattern.startsWith('?')
      ? text !== '' && !(isTopic && text.startsWith('.'))
      : pattern[0] === text[0];
    return text !== '' && takes && meant(pattern.slice(1), text.slice(1), isTopic);
  }
  function meantByTopic(pattern: readonly string[], topic: readonly string[]): boolean {
    const [part, ...further] = pattern;
    if (part === undefined) return topic.length === 0;
    if (part === '**') {
      return meantByTopic(further, topic) || (topic.length > 0 && meantByTopic(pattern, topic.slice(1)));
    }
    return topic.length > 0 && meant(part, topic[0] ?? '', true) && meantByTopic(further, topic.slice(1));
  }
  const joined = (parts: fc.Arbitrary<string>) =>
    fc.array(parts, { minLength: 1, maxLength: 5 }).map((all) => all.join('.'));
  const segment = fc.stringMatching(/^[ab]{1,3}$/);
  const patternSegment = fc.oneof(segment, fc.constantFrom('*', '**', '?', 'a*', '*b', 'a?*', '*a*b', '??'));
  const topics = joined(segment);
  const patterns = joined(patternSegment);

  test('just what its definition says, alone and in an index of many', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(patterns, { maxLength: 12 }),
        fc.array(topics, { maxLength: 8 }),
        (many, texts) => {
          const index = new TopicIndex<string>();
          for (const pattern of many) index.add(pattern, pattern);
          for (const topic of texts) {
            const fitting = many.filter((pattern) => meantByTopic(pattern.split('.'), topic.split('.')));
            expect(many.filter((pattern) => topicGlob(pattern)(topic))).toEqual(fitting);
            expect(foundIn(index, topic)).toEqual(fitting.toSorted());
          }
        },
      ),
    );
    fc.assert(
      fc.property(fc.stringMatching(/^[ab*?.]{0,8}$/), fc.stringMatching(/^[ab.]{0,8}$/), (pattern, name) => {
        expect(nameGlob(pattern)(name)).toBe(meant(pattern, name, false));
      }),
    );
  });

  test('no more of an index than what is still in it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(patterns, { maxLength: 12 }), fc.nat(), topics, (many, seed, topic) => {
        const isKept = (_: string, at: number) => (seed >> at) % 2 === 1;
        const index = new TopicIndex<string>();
        for (const pattern of many) index.add(pattern, pattern);
        for (const pattern of many.filter((one, at) => !isKept(one, at))) index.delete(pattern, pattern);
        const fresh = new TopicIndex<string>();
        for (const pattern of many.filter(isKept)) fresh.add(pattern, pattern);

        expect(foundIn(index, topic)).toEqual(foundIn(fresh, topic));
        for (const pattern of many) index.delete(pattern, pattern);
        expect(index).toEqual(new TopicIndex());
      }),
    );
  });

  test('in time that does not explode with its stars', () => {
    const stars = `${'*a'.repeat(90)}b`;
    const name = 'a'.repeat(200);

    expect(nameGlob(stars)(name)).toBe(false);
    expect(topicGlob(stars)(name)).toBe(false);
    expect(topicGlob(`${'**.a.'.repeat(8)}b`)(Array(16).fill('a').join('.'))).toBe(false);
  });
});

describe('A field', () => {
  test.each([
    [topicField, 'hub.agents', true],
    [topicField, 'A_b:c/d@e-1.x', true],
    [topicField, 'a..b', false],
    [topicField, '.a', false],
    [topicField, 'a.', false],
    [topicField, '', false],
    [topicField, 'a.*', false],
    [topicField, 'a b', false],
    [topicField, 'ä', false],
    [topicField, Array(16).fill('a').join('.'), true],
    [topicField, Array(17).fill('a').join('.'), false],
    [topicField, 'a'.repeat(201), false],
    [topicPatternField, 'a.*.?b.**', true],
    [topicPatternField, 'a**', false],
    [topicPatternField, 'a.**b', false],
    [topicPatternField, '***', false],
    [topicPatternField, '[a]', false],
    [topicPatternField, '{a,b}', false],
    [namePatternField, 'reviewer-*', true],
    [namePatternField, '', false],
    [namePatternField, 'a b', false],
    [reservationField, 'file:src/a.ts', true],
    [reservationField, 'file:/srv/src/**', true],
    [reservationField, 'ticket:12', true],
    [reservationField, 'branch:feature/x', true],
    [reservationField, 'url:https://a.example/x', true],
    [reservationField, 'file:src/ä b.ts', true],
    [reservationField, 'FILE:src/a.ts', false],
    [reservationField, 'file: src/a.ts', false],
    [reservationField, 'file:src\\a.ts', false],
    [reservationField, 'file:./src/a.ts', false],
    [reservationField, 'file:src/../a.ts', false],
    [reservationField, 'file:src//a.ts', false],
    [reservationField, 'file:src/', false],
    [reservationField, 'src/./a', false],
    [reservationField, 'file:src/*.ts', false],
    [reservationField, 'file:src/**/a', false],
    [reservationField, ' file:a', false],
    [reservationField, 'file:a\u0308', false],
    [reservationField, 'file:a\n', false],
    [reservationField, 'file:\ud800', false],
    [reservationField, '', false],
  ])('%#: %j', (field, text, isTaken) => {
    expect(field.safeParse(text).success).toBe(isTaken);
  });
});
