/** Numbers as they are: what JavaScript cannot hold stays a text. */

/** The number, or its text when digits would be lost. */
export function exactNumber(text: string): number | string {
  const value = Number(text);
  return isExact(text, value) ? value : text;
}

function isExact(text: string, value: number): boolean {
  if (!Number.isFinite(value)) return false;
  if (String(value) === text || (Number.isSafeInteger(value) && /^-?\d+$/.test(text))) return true;
  const [mantissa = ''] = text.split(/[eE]/);
  const digits = mantissa.replace(/[-+.]/g, '').replace(/^0+/, '');
  return digits.length <= exactDigits && (value !== 0 || digits === '');
}

/** Any decimal of so many digits comes back from a double as it was. */
const exactDigits = 15;

/** Texts of JSON are passed over, and so are numbers that are exact. */
const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** JSON with each number that would lose digits put into quotes. */
export function exactJson(json: string): string {
  if (!/[\d.]{16}|[eE]/.test(json)) return json;
  return json.replace(tokens, (token) =>
    token.startsWith('"') || typeof exactNumber(token) === 'number' ? token : `"${token}"`,
  );
}
