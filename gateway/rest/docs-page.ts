/** The page that shows the REST interface to people: made of its own document, whole without scripts, and asking for nothing. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { html as make, raw } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

type Html = HtmlEscapedString;

/** Without promises in it, which would make one of it. */
const html = (strings: TemplateStringsArray, ...values: unknown[]): Html => make(strings, ...values) as Html;

const css = ['../../runtime/house.css', 'docs.css']
  .map((file) => readFileSync(new URL(file, import.meta.url), 'utf8'))
  .join('');
const cssHash = createHash('sha256').update(css).digest('base64');

/** Nothing but the style in the page itself: no scripts, no frames around it, and no picture but its empty icon. */
export const docsPolicy = `default-src 'none'; style-src 'sha256-${cssHash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly allOf?: readonly Schema[];
}

interface Parameter {
  readonly $ref?: string;
  readonly name?: string;
  readonly in?: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}

interface Shown {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security?: readonly unknown[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>;
  };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly $ref?: string;
        readonly description?: string;
        readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
      }
    >
  >;
}

/** As much of the document as is shown. */
export interface Document {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Shown>>>>;
  readonly components: {
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly responses: Readonly<Record<string, { readonly description?: string }>>;
  };
}

const nameIn = (ref: string) => ref.split('/').at(-1) ?? '';

export function docsPage(document: Document): string {
  const { info, tags, paths } = document;
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, shown]) => ({ path, method, shown })),
  );
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${info.title} · REST</title>
        <link rel="icon" href="data:," />
        ${raw(`<style>${css}</style>`)}
      </head>
      <body>
        <header>
          <h1>${info.title} over REST</h1>
          <p class="dim">
            Version ${info.version}. For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).
          </p>
          ${info.description.split('\n\n').map((text) => html`<p>${withCode(text)}</p>`)}
          <nav aria-label="Parts">
            <ul>
              ${tags.map(({ name }) => html`<li><a href="#${name}">${name}</a></li>`)}
            </ul>
          </nav>
        </header>
        <main>
          ${tags.map(
            ({ name, description }) =>
              html`<section aria-labelledby="${name}">
                <h2 id="${name}">${name}</h2>
                <p class="dim">${description}</p>
                ${all.filter(({ shown }) => shown.tags.includes(name)).map((one) => operation(document, one))}
              </section>`,
          )}
        </main>
      </body>
    </html>`.toString();
}

/** Text in which `words` are code. */
function withCode(text: string): Html {
  const parts = text.split('`');
  return html`${parts.map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}

function operation(
  document: Document,
  { path, method, shown }: { readonly path: string; readonly method: string; readonly shown: Shown },
): Html {
  const parameters = (shown.parameters ?? []).map((one) =>
    one.$ref === undefined ? one : (document.components.parameters[nameIn(one.$ref)] ?? one),
  );
  const own = parameters.filter(({ name = '' }) => name !== 'Flotilla-Level' && name !== 'level');
  const body = shown.requestBody?.content['application/json'];
  return html`<details id="${shown.operationId}">
    <summary>
      <span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code>
      <span class="said">${shown.summary}</span>
    </summary>
    <div class="inside">
      ${shown.description === undefined ? '' : html`<p>${withCode(shown.description)}</p>`}
      ${
        own.length === 0
          ? ''
          : html`<h3>Parameters</h3>
              <dl>
                ${own.map(({ name = '', in: where = '', description = '', required, schema }) =>
                  field(name, schema, required === true, `${where}. ${description}`),
                )}
              </dl>`
      }
      ${
        body
          ? html`<h3>Body</h3>
              ${fields(body.schema)}`
          : ''
      }
      ${example(path, method, shown, body?.example)}
      <h3>Answers</h3>
      <dl>
        ${Object.entries(shown.responses).map(
          ([status, response]) =>
            html`<dt>${status}</dt>
              <dd>
                ${
                  response.$ref === undefined
                    ? response.description
                    : document.components.responses[nameIn(response.$ref)]?.description
                }
              </dd>`,
        )}
      </dl>
      ${data(shown)}
    </div>
  </details>`;
}

/** What `data` holds when it went well. */
function data({ responses }: Shown): Html | string {
  const told = responses['200'] ?? responses['201'];
  const schema = told?.content?.['application/json']?.schema.allOf?.[1]?.properties?.['data'];
  const properties = schema?.properties ?? schema?.items?.properties;
  if (!schema || !properties) return '';
  return html`<h3>data${schema.items ? ', each' : ''}</h3>
    ${fields(schema.items ?? schema)}`;
}

function fields({ properties = {}, required = [] }: Schema): Html {
  return html`<dl>
    ${Object.entries(properties).map(([name, schema]) =>
      field(name, schema, required.includes(name), schema.description ?? ''),
    )}
  </dl>`;
}

function field(name: string, schema: Schema | undefined, isRequired: boolean, text: string): Html {
  const values = schema?.enum?.map(String).join(', ');
  const initial = schema?.default;
  return html`<dt>
      <code>${name}</code> <span class="dim">${typeOf(schema)}${isRequired ? ', required' : ''}</span>
    </dt>
    <dd>
      ${text}${values ? ` One of ${values}.` : ''}${initial === undefined ? '' : ` ${JSON.stringify(initial)} unless given.`}
    </dd>`;
}

function typeOf(schema: Schema | undefined): string {
  const type = [schema?.type ?? 'any'].flat().join(' or ');
  return type === 'array' ? `list of ${typeOf(schema?.items)}` : type;
}

function example(path: string, method: string, { security, responses }: Shown, body: unknown): Html | string {
  if (responses['101']) return '';
  const words = ['curl', ...(method === 'get' ? [] : ['-X', method.toUpperCase()])];
  if (!security) words.push(`-H "Authorization: Bearer $TOKEN"`);
  if (body !== undefined) words.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body)}'`);
  return html`<h3>Example</h3>
    <pre>${words.join(' ')} http://127.0.0.1:8000${path}</pre>`;
}
