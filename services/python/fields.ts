import { z } from 'zod';

export const sessionId = z
  .string()
  .max(64)
  .regex(/^py_[0-9a-f]{24}$/, 'must be a session_id of create_python_session')
  .describe('From create_python_session.');
