/** All of Flotilla: tokens, checks, metrics, log and audit trail. */
import { startService } from '#runtime/process/run.ts';

import { announce } from './announce.ts';
import { echoService } from './echo-service.ts';

const { port } = await startService(echoService('echo'), 0, process.env);
announce(port);
