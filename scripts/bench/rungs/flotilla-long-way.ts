/** All of Flotilla but its hot path: what is left when that takes no calls. */
import { startService } from '#runtime/process/run.ts';

import { announce } from './announce.ts';
import { echoService } from './echo-service.ts';

const { port } = await startService(echoService('echo-long-way'), 0, process.env, { hotPath: false });
announce(port);
