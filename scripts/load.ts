/** Where the code of each process of the catalogue lies. */
import { entryOf, isService } from '#config/catalogue.ts';
import type { AnyService } from '#runtime/service.ts';

/** Services lie under `services/`, the platform's programs at the top. */
export async function loadService(name: string): Promise<AnyService> {
  const entry = entryOf(name);
  if (!entry) throw new TypeError(`${name} is not in the catalogue`);
  const folder = isService(entry) ? `../services/${name}` : `../${name}`;
  const module = (await import(`${folder}/service.ts`)) as { default: AnyService };
  return module.default;
}
