/** `tests/surface/<name>.json`: everything that a service offers with default settings, so that a change of it is seen and meant. */
import { listSurface } from '#runtime/wire/mcp-surface.ts';
import { toolsOf, type AnyService } from '#runtime/service.ts';
import { parseServiceSettings } from '#runtime/process/settings.ts';

export function surfaceOf(service: AnyService): string {
  const settings: unknown = parseServiceSettings(service.name, service.settings, {});
  return `${JSON.stringify(listSurface(service, toolsOf(service, settings)), null, 2)}\n`;
}
