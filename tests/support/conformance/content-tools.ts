/** Tools that answer at once, in every kind of content. */
import { ToolError } from '#runtime/errors.ts';

import { content, contentTool, pngBase64, text, wavBase64 } from './fixture.ts';

const image = { type: 'image', data: pngBase64, mimeType: 'image/png' };

export const contentTools = [
  contentTool('test_simple_text', () => text('This is a simple text response for testing.')),
  contentTool('test_image_content', () => content(image)),
  contentTool('test_audio_content', () => content({ type: 'audio', data: wavBase64, mimeType: 'audio/wav' })),
  contentTool('test_embedded_resource', () =>
    content({
      type: 'resource',
      resource: {
        uri: 'test://embedded-resource',
        mimeType: 'text/plain',
        text: 'This is an embedded resource content.',
      },
    }),
  ),
  contentTool('test_multiple_content_types', () =>
    content({ type: 'text', text: 'Multiple content types test:' }, image, {
      type: 'resource',
      resource: {
        uri: 'test://mixed-content-resource',
        mimeType: 'application/json',
        text: '{"test":"data","value":123}',
      },
    }),
  ),
  contentTool('test_error_handling', () => {
    throw new ToolError('conflict', 'This tool intentionally returns an error for testing');
  }),
];
