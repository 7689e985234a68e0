import type { z } from 'zod';

import type { CatalogueEntry } from '#config/catalogue.ts';
import { hostSettings } from '#config/settings.ts';
import type { AnyService } from '#runtime/service.ts';

/** Every setting there is, with its default and what it means. */
export function envExample(
  services: readonly { readonly entry: CatalogueEntry; readonly service: AnyService }[],
): string {
  const sections = [
    { title: 'The host as a whole', schema: hostSettings as z.ZodObject },
    ...services.map(({ entry, service }) => ({ title: entry.name, schema: service.settings as z.ZodObject })),
  ];
  return [
    '# Generated from the settings schemas by "npm run generate". Copy what you change to .env; a name that is not here',
    '# is refused at start.',
    ...sections
      .filter(({ schema }) => Object.keys(schema.shape).length > 0)
      .map(({ title, schema }) => section(title, schema)),
  ].join('\n');
}

function section(title: string, schema: z.ZodObject): string {
  const lines = Object.entries(schema.shape).map(([name, field]) => {
    const { description = '' } = (field as z.ZodType).meta() ?? {};
    const byDefault = (field as z.ZodType<string | number>).safeParse(undefined).data ?? '';
    return `# ${description}\n#${name}=${byDefault}\n`;
  });
  return `\n# ${title}\n\n${lines.join('\n')}`;
}
