/** Who may talk to the process at all, by the headers that a browser cannot forge. */

const loopbackNames = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** What nearly every client sends: found without parsing. */
const plainHost = /^(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/;

/** A page of another site can reach loopback under its own name (DNS rebinding) or send requests from there (CSRF). */
export function foreignHeader(
  host: string | undefined,
  origin: string | undefined,
): 'host' | 'origin' | undefined {
  if (host === undefined || !(plainHost.test(host) || loopbackNames.has(hostnameOf(`http://${host}`))))
    return 'host';
  if (origin !== undefined && !loopbackNames.has(hostnameOf(origin))) return 'origin';
  return undefined;
}

function hostnameOf(url: string): string {
  return URL.parse(url)?.hostname ?? '';
}

/** The secret of an `Authorization: Bearer` header (RFC 6750). */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '')?.[1];
}
