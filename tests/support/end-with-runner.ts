/** A worker whose runner was killed would go on with its tests, and with all the processes that they started. */
process.once('disconnect', () => setImmediate(() => process.kill(process.pid, 'SIGKILL')));
