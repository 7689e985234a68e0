/** Who may talk to the process at all, by the headers that a page in a browser cannot forge. */

const loopbackNames = ['127.0.0.1', 'localhost', '[::1]'];

/** What nearly every client sends: found without parsing. */
const plainHost = /^(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/;

/** Which of the two headers names another site; `undefined` where both are ours, or there is no origin. */
export type ForeignCheck = (
  host: string | undefined,
  origin: string | undefined,
) => 'host' | 'origin' | undefined;

/**
 * A page of another site can reach loopback under its own name (DNS rebinding) or send requests from there (CSRF).
 *
 * @param more what the operator allows besides this host: names of hosts, and origins such as `https://app.example`.
 */
export function foreignCheck(more: {
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
}): ForeignCheck {
  const hosts = new Set([...loopbackNames, ...more.hosts.map((name) => name.toLowerCase())]);
  const origins = new Set(more.origins.map((origin) => URL.parse(origin)?.origin ?? origin));
  return (host, origin) => {
    if (host === undefined || !(plainHost.test(host) || hosts.has(hostnameOf(`http://${host}`))))
      return 'host';
    if (origin === undefined) return undefined;
    const isOurs = loopbackNames.includes(hostnameOf(origin)) || origins.has(URL.parse(origin)?.origin ?? '');
    return isOurs ? undefined : 'origin';
  };
}

function hostnameOf(url: string): string {
  return URL.parse(url)?.hostname ?? '';
}

/** What a caller is told whose token does not reach here at all. */
export const insufficientScope = (service: string): string =>
  `Bearer error="insufficient_scope", scope="${service}:read"`;

/** The secret of an `Authorization: Bearer` header (RFC 6750). */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '')?.[1];
}

/** What a page of an origin that may call is to see of an answer: https://fetch.spec.whatwg.org/#http-cors-protocol */
export function originHeaders(origin: string): Readonly<Record<string, string>> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers':
      'allow, etag, flotilla-outcome, link, location, mcp-session-id, retry-after, traceparent, www-authenticate',
    vary: 'origin',
  };
}
