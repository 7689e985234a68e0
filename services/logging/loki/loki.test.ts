import { describe, expect, test } from 'vitest';

import type { Level, Line } from '../store/line.ts';
import { labelOf } from './labels.ts';
import { parseQuery } from './parse.ts';
import { narrowingOf, pipelineOf } from './pipeline.ts';
import type { LogQuery } from './query.ts';

let id = 0;
const line = (message: string, rest: Partial<Line> = {}): Line => ({
  id: (id += 1),
  atMs: 0,
  observedMs: 0,
  level: 'info',
  service: 'api',
  source: 'test',
  message,
  fields: {},
  ...rest,
});

/** The messages that a query keeps, as it leaves them. */
function kept(logql: string, lines: readonly Line[]): string[] {
  const run = pipelineOf(parseQuery(logql) as LogQuery, { lines: 0 });
  return lines.flatMap((one) => run(one)?.text ?? []);
}

/** What a label of a line holds after a query. */
function label(logql: string, one: Line, name: string): string | undefined {
  const entry = pipelineOf(parseQuery(logql) as LogQuery, { lines: 0 })(one);
  return entry && labelOf(entry, name);
}

const services = ['api', 'api-gateway', 'web'].map((service) => line(service, { service }));
const keeps = (logql: string, one: Line) => kept(logql, [one]).length === 1;

describe('a selector', () => {
  test.each([
    ['{service="api"}', ['api']],
    ['{service!="api"}', ['api-gateway', 'web']],
    ['{service=~"api"}', ['api']],
    ['{service=~"api.*"}', ['api', 'api-gateway']],
    ['{service!~"api|web"}', ['api-gateway']],
    ['{service=~`ap\\w`, level="info"}', ['api']],
    ['{service_name="web", detected_level="info"}', ['web']],
    ['{host=""}', ['api', 'api-gateway', 'web']],
    ['{host="a"}', []],
    ['{}', ['api', 'api-gateway', 'web']],
    ['({service="web"})', ['web']],
  ])('%s keeps %j: regular expressions match whole values', (logql, expected) => {
    expect(kept(logql, services)).toEqual(expected);
  });

  test('reaches the fields of a line, those with dots by underscores', () => {
    const one = line('x', { fields: { 'http.status': '500', level: 'loud' }, traceId: 'abc' });
    expect(keeps('{http_status="500", level_extracted="loud", trace_id="abc"}', one)).toBe(true);
    expect(keeps('{level="loud"}', one)).toBe(false);
  });
});

describe('line filters', () => {
  const lines = ['error: timeout', 'error: disk', 'fine', 'two\nlines'].map((text) => line(text));

  test.each([
    ['|= "error"', ['error: timeout', 'error: disk']],
    ['|= "error" != "timeout"', ['error: disk']],
    ['|= "Error"', []],
    ['|~ "(?i)ERROR"', ['error: timeout', 'error: disk']],
    ['|~ "d.sk|f.ne"', ['error: disk', 'fine']],
    ['|~ "two.lines"', ['two\nlines']],
    ['!~ "error|lines"', ['fine']],
    ['|= "disk" or "fine"', ['error: disk', 'fine']],
    ['!= "disk" or "fine"', ['error: timeout', 'two\nlines']],
    ['|= `e` |= "time" # the rest is a comment', ['error: timeout']],
    ['| decolorize |= "fine"', ['fine']],
  ])('%s', (filters, expected) => {
    expect(kept(`{service="api"} ${filters}`, lines)).toEqual(expected);
  });
});

describe('parsers', () => {
  const json = line(
    '{"a.b":{"c":"d"},"e":1.50,"list":[1,{"x":"y"}],"on":true,"none":null,"service":"other","1st":"x","h":{"User-Agent":"curl"}}',
  );

  test.each([
    ['| json', 'a_b_c', 'd'],
    ['| json', 'e', '1.5'],
    ['| json', 'list', ''],
    ['| json', 'on', 'true'],
    ['| json', 'none', ''],
    ['| json', 'service', 'api'],
    ['| json', 'service_extracted', 'other'],
    ['| json', '_1st', 'x'],
    ['| json x="list[1].x"', 'x', 'y'],
    ['| json agent="h[\\"User-Agent\\"]", e', 'agent', 'curl'],
    ['| json agent="h[\\"User-Agent\\"]", e', 'e', '1.5'],
    ['| json list', 'list', '[1,{"x":"y"}]'],
    ['| json x="constructor"', 'x', ''],
    ['| json', '__error__', ''],
    ['| logfmt', '__error__', 'LogfmtParserErr'],
  ])('%s gives %s = %j', (parser, name, expected) => {
    expect(label(`{} ${parser}`, json, name)).toBe(expected);
  });

  const logfmt = line(
    'at=info method=GET path="/a b" q="say \\"hi\\"" lone empty= =bad status=200 took=8ms took=9ms',
  );

  test.each([
    ['| logfmt', 'method', 'GET'],
    ['| logfmt', 'path', '/a b'],
    ['| logfmt', 'q', 'say "hi"'],
    ['| logfmt', 'lone', ''],
    ['| logfmt', 'status', '200'],
    ['| logfmt', 'took', '8ms'],
    ['| logfmt verb="method"', 'verb', 'GET'],
    ['| logfmt verb="method"', 'status', ''],
    ['| json', '__error__', 'JSONParserErr'],
    ['| pattern "at=<level> method=<verb> <_>"', 'verb', 'GET'],
    ['| pattern "nothing <x>"', '__error__', 'PatternParserErr'],
    ['| regexp "status=(?P<code>\\\\d)"', 'code', '2'],
    ['| regexp "(?P<no>zzz)"', '__error__', 'RegexpParserErr'],
  ])('%s gives %s = %j', (parser, name, expected) => {
    expect(label(`{} ${parser}`, logfmt, name)).toBe(expected);
  });

  test('take the fields of a line that was JSON when it came', () => {
    const one = line('request done', { fields: { status: '502', 'user.id': '7' } });
    expect(label('{} | json | status >= 500', one, 'user_id')).toBe('7');
    expect(label('{} | json', one, '__error__')).toBe('');
    expect(label('{} | json who="user.id"', one, 'who')).toBe('7');
    expect(label('{} | regexp "(?P<x>zzz)"', one, '__error__')).toBe('RegexpParserErr');
  });

  test('line_format makes a new text of labels, which later filters see', () => {
    expect(
      kept('{} | json | line_format "{{.e}} of {{ .service }}: {{__line__}}" |= "1.5 of api: {"', [json]),
    ).toHaveLength(1);
  });

  test('an unclosed quote or a text of quotes is read once', () => {
    expect(label('{} | logfmt', line('a="b c=d'), 'c')).toBe('d');
    const hostile = line(`a="\\" `.repeat(20_000));
    expect(label('{} | logfmt', hostile, 'a')).toBe('" a=');
  });
});

describe('label filters', () => {
  const one = line('duration=1m30s size=20KB status=503 method=GET bad=xyz');

  test.each([
    ['status >= 500', true],
    ['status == 503', true],
    ['status = 503.0', true],
    ['status != 503', false],
    ['status < 5e2', false],
    ['duration > 1m', true],
    ['duration >= 1.5m and duration <= 90s', true],
    ['duration < 90000ms', false],
    ['size = 20KB', true],
    ['size > 19.5KiB', true],
    ['size > 1MB', false],
    ['method="GET"', true],
    ['method=~"P.*|GET"', true],
    ['method!~"G"', true],
    ['missing > 1', false],
    ['missing=""', true],
    ['status > 900 or method="GET"', true],
    // From left to right, not `and` first.
    ['method="GET" or status > 900 and size > 1MB', false],
    ['method="GET" or (status > 900 and size > 1MB)', true],
    ['status > 1, size > 1MB', false],
    ['status > 1 size > 1MB', false],
    ['status > 1 | size > 1MB', false],
    ['bad > 1', true],
    ['bad > 1 | __error__=""', false],
    ['bad > 1 | __error__="LabelFilterErr"', true],
    ['status > 1 != "GET"', false],
  ])('| logfmt | %s: %s', (filter, expected) => {
    expect(keeps(`{} | logfmt | ${filter}`, one)).toBe(expected);
  });
});

describe('what cannot be read is refused with its place and what to write instead', () => {
  test.each<[logql: string, message: RegExp, hint?: RegExp]>([
    ['', /at its end: the query ends too early/],
    ['error', /character 1.*error is not understood/],
    ['{service=api}', /character 10, before "api}": the value after service= is missing/, /double quotes/],
    ['{service}', /character 9.*=, !=, =~ or !~ is missing after service/],
    ['{service="a" level="b"}', /character 14.*, is missing between/],
    ['{service="a"', /at its end: , is missing|at its end/],
    ['{service="\\q"}', /escape \\q/, /backticks/],
    ['{service=~"("}', /regular expression cannot be read: missing closing \)/],
    ['{service=~"(?=x)"}', /invalid or unsupported Perl syntax/, /no look-ahead/],
    ['{} |= error', /the text after \|= is missing/],
    ['{} |> "<_> x"', /character 4.*\|> is not understood/, /regular expression/],
    ['{} |= ip("1.2.3.4")', /ip\(\)/, /regular expression/],
    ['{} | label_format a=b', /character 6.*label_format is not understood/, /own name/],
    ['{} | unpack', /unpack/, /\| json/],
    ['{} | json | status > ', /at its end: the value that status is compared with is missing/],
    ['{} | json | status > 5parsecs', /5parsecs is no number, duration or size/],
    ['{} | json | status > "5"', /> compares numbers/, /without quotes/],
    ['{} | json x="a..b"', /a\.\.b is no path/],
    ['{} | logfmt --strict', /--strict is not understood/],
    ['{} | pattern "<a><b>"', /<b> follows another capture/],
    ['{} | pattern "plain"', /captures nothing/],
    ['{} | regexp "a"', /names no group/],
    ['{} | line_format "{{ToUpper .x}}"', /ToUpper \.x/, /functions are not/],
    ['{} | unwrap x', /\| is not understood here/],
    ['count_over_time({})', /needs a range/, /\[5m\]/],
    ['count_over_time({}[5])', /the range is no duration/],
    ['count_over_time({}[$__interval])', /the range is no duration/],
    ['sum_over_time({}[5m])', /character 1.*sum_over_time needs the label/, /unwrap/],
    ['count_over_time({} | unwrap x [5m])', /takes no unwrap/],
    ['quantile_over_time(0.9, {} | unwrap x [5m])', /quantile_over_time is not understood/, /max_over_time/],
    ['absent_over_time({}[5m])', /absent_over_time/, /no row means/],
    ['sum({})', /lines cannot be calculated with/, /count_over_time/],
    ['topk(count_over_time({}[5m]))', /topk needs how many/],
    ['sum(count_over_time({}[5m])) by service', /\( is missing after by/],
    ['count_over_time({}[5m]) offset 1h', /offset is not understood here/, /right after the range/],
    ['sum(rate({}[1m])) / on(x) sum(rate({}[1m]))', /on is not understood/, /same labels/],
    ['1 + 1', /a number alone/],
    ['1 / 0 > count_over_time({}[5m])', /no finite number/],
    [`${'('.repeat(60)}1`, /nested more than 50/],
    [`{} |= "${'x'.repeat(6_000)}"`, /at most 5000/],
  ])('%s', (logql, message, hint = /./) => {
    expect(() => parseQuery(logql)).toThrow(
      expect.objectContaining({
        name: 'ToolError',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });
});

test('what the store can leave out by itself is told to it', () => {
  const narrowing = (logql: string) => narrowingOf(parseQuery(logql) as LogQuery);
  expect(
    narrowing(
      '{level=~"error|fatal", service="api", source=~"a|b"} |= "x" |~ "y" | json |= "z" | line_format "q" |= "w"',
    ),
  ).toEqual({
    levels: ['error', 'fatal'] satisfies Level[],
    services: ['api'],
    sources: ['a', 'b'],
    texts: ['x', 'z'],
  });
  expect(narrowing('{level!="trace", service=~"a.*"} != "x" |= "a" or "b"')).toEqual({
    levels: ['debug', 'info', 'warn', 'error', 'fatal'],
    texts: [],
  });
});
