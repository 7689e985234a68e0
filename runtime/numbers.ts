/** Whether there is a number that JSON can write and that is too large to be one, such as 1e999: it would be told on as null. */
export function hasEndlessNumber(value: unknown): boolean {
  const waiting = [value];
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    if (typeof one === 'number' && !Number.isFinite(one)) return true;
    if (typeof one !== 'object' || one === null) continue;
    for (const inner of Array.isArray(one) ? (one as unknown[]) : Object.values(one))
      if (typeof inner === 'number' || (typeof inner === 'object' && inner !== null)) waiting.push(inner);
  }
  return false;
}
