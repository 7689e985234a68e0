/** Where the code of each process of the catalogue lies. */
import { entryOf, folderOf } from '#config/catalogue.ts';
import type { AnyService } from '#runtime/service.ts';

export async function loadService(name: string): Promise<AnyService> {
  const entry = entryOf(name);
  if (!entry) throw new TypeError(`${name} is not in the catalogue`);
  const path = `../${folderOf(entry)}/service.ts`;
  const module = (await import(path)) as { default: AnyService | ((name: string) => AnyService) };
  // One program for several processes makes each by its name.
  return typeof module.default === 'function' ? module.default(name) : module.default;
}
