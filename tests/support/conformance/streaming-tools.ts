/** Tools that say something before they answer, to the caller or to those who listen. */
import { setTimeout as sleep } from 'node:timers/promises';

import { fixtureTool, protocolOf, requestOf, text } from './fixture.ts';
import { watchedUri } from './resources.ts';

/** The suite asks for the pause: what is said must arrive one by one. */
const pauseMs = 50;

export const streamingTools = [
  fixtureTool('test_tool_with_progress', async (call) => {
    call.progress(0, 100);
    await sleep(pauseMs);
    call.progress(50, 100);
    await sleep(pauseMs);
    call.progress(100, 100);
    return text('Tool with progress executed successfully');
  }),
  fixtureTool('test_tool_with_logging', async (call) => {
    await requestOf(call).log('info', 'Tool execution started');
    await sleep(pauseMs);
    await requestOf(call).log('info', 'Tool processing data');
    await sleep(pauseMs);
    await requestOf(call).log('info', 'Tool execution completed');
    return text('Tool with logging executed successfully');
  }),
  fixtureTool('test_logging_tool', async (call) => {
    await requestOf(call).log('info', 'Heard only by a client that asked for a log level');
    return text('Logged');
  }),
  fixtureTool('test_trigger_tool_change', (call) => {
    protocolOf(call).notify.toolsChanged();
    return text('The tool list changed');
  }),
  fixtureTool('test_trigger_prompt_change', (call) => {
    protocolOf(call).notify.promptsChanged();
    return text('The prompt list changed');
  }),
  fixtureTool('test_trigger_resource_update', (call) => {
    call.resourceUpdated(watchedUri);
    return text('The watched resource changed');
  }),
];
