/** Markup that escapes whatever it is given. */
import { html as make, raw } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

export type Html = HtmlEscapedString;

/** Without promises in it, which would make one of it. */
export function html(strings: TemplateStringsArray, ...values: unknown[]): Html {
  return make(strings, ...values) as Html;
}

export { raw };

/** A part of a page that changes while somebody looks: what stands within the element that names it. */
export class Pieces {
  readonly contents = new Map<string, string>();

  /** The attribute and the contents of an element: `<td ${piece('name', text)}</td>`. */
  readonly piece = (name: string, contents: Html | string): Html => {
    const text = html`${contents}`.toString();
    this.contents.set(name, text);
    return html`data-piece="${name}">${raw(text)}`;
  };
}

/** For a program in the page: JSON that cannot end its element. */
export function embedded(value: unknown): Html {
  return raw(JSON.stringify(value).replaceAll('<', '\\u003c'));
}

/** How long ago or since when; a script of the page keeps it right. */
export function elapsed(since: string | null, nowMs: number, words: (ms: number) => string): Html | string {
  if (since === null) return '–';
  return html`<time datetime="${since}">${words(Math.max(0, nowMs - Date.parse(since)))}</time>`;
}
