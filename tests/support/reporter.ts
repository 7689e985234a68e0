/** Says what was skipped and why, and ends with one plain line of totals. In CI a skip is a failure unless the kernel forbids the test. */
import type { Reporter, TestModule } from 'vitest/node';

/** The reason of a skip begins so when a probe has shown that this kernel does not allow what the test does. */
export const kernelForbids = 'the kernel forbids it: ';

export default class Totals implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed += 1;
        else if (result.state === 'failed') counts.failed += 1;
        else {
          const note = (result.state === 'skipped' && result.note) || 'no reason given';
          const excused = note.startsWith(kernelForbids) || process.env['CI'] !== 'true';
          counts[excused ? 'skipped' : 'failed'] += 1;
          process.stdout.write(`${excused ? 'skipped' : 'SKIPPED IN CI'}: ${test.fullName} (${note})\n`);
          if (!excused) process.exitCode = 1;
        }
      }
      // A file that cannot be loaded has no tests to fail.
      if (module.state() === 'failed' && module.errors().length > 0) counts.failed += 1;
    }
    process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  }
}
