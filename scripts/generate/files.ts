/** All generated files: path and contents. Each generator is a pure function of the catalogue and the services. */
import { allProcesses, catalogue, isService } from '#config/catalogue.ts';

import { ownFolder, readObjectives } from '../../health/slo/objectives.ts';
import { loadService } from '../load.ts';
import { prometheusRules } from './alert-rules.ts';
import { commandReference } from './commands.ts';
import { envExample } from './env-example.ts';
import { grafanaBoard } from './grafana.ts';
import { withListTokens } from './list-tokens.ts';
import { reportFiles, withFigures, withSuites } from './performance.ts';
import { compiledProtos } from './protos.ts';
import { withPicture, withServiceTable } from './readme.ts';
import { withProcessTable } from './security.ts';
import { serverJson, type Package } from './server-json.ts';
import { sloPage } from './slo-page.ts';
import { surfaceOf } from './surface.ts';
import { unitFiles } from './units.ts';

/** `read` gives the present contents of a file that is generated in part. */
export async function generatedFiles(read: (path: string) => string): Promise<ReadonlyMap<string, string>> {
  const services = await Promise.all(
    allProcesses.map(async (entry) => ({ entry, service: await loadService(entry.name) })),
  );
  const objectives = readObjectives([ownFolder], catalogue);
  const files = new Map([
    ['config/grafana/flotilla.json', grafanaBoard(objectives)],
    ['config/prometheus/flotilla-rules.yml', prometheusRules()],
    ['docs/slo.md', sloPage(objectives, catalogue)],
    ['config/env.example', envExample(services)],
    ['server.json', serverJson(JSON.parse(read('package.json')) as Package)],
    ['docs/commands.md', commandReference((await import('../flotilla.ts')).program)],
    ['README.md', withPicture(withServiceTable(read('README.md'), allProcesses), catalogue)],
    ['docs/security.md', withProcessTable(read('docs/security.md'), allProcesses)],
    ['docs/clients.md', await withListTokens(read('docs/clients.md'), services)],
    ['proto/flotilla.json', compiledProtos('proto', ['flotilla'])],
    ['proto/standard.json', compiledProtos('proto', ['grpc', 'google'])],
    ['tests/support/wire-protos.json', compiledProtos('tests/support/protos')],
    ['docs/performance.md', withFigures(withSuites(read('docs/performance.md')), reportFiles.map(read))],
  ]);
  for (const [name, text] of unitFiles(allProcesses)) files.set(`config/systemd/${name}`, text);
  for (const { entry, service } of services) {
    if (isService(entry)) files.set(`tests/surface/${entry.name}.json`, surfaceOf(service));
  }
  return files;
}
