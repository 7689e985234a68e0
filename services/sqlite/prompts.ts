import type { Prompt } from '#runtime/service.ts';

import type { Databases } from './databases.ts';

export const prompts: readonly Prompt<Databases>[] = [
  {
    name: 'mcp-demo',
    title: 'Demonstration',
    description: 'Try the SQLite tools on made-up data about a topic, up to a memo of insights.',
    arguments: { topic: { description: 'What the data is about.', required: true } },
    messages: ({ topic = '' }) => [
      {
        role: 'user',
        content: {
          type: 'text',
          text: `Show me what the SQLite tools can do, with made-up data about this topic:

${topic}

1. Look at what is there with list_tables. Use table names of your own, so that nothing of mine is touched.
2. Invent a small business case about the topic: who decides what, and which questions the data has to answer. Tell it in a few sentences.
3. Make two or three tables with create_table, and fill them with bulk_insert or write_query: some twenty rows each, with a pattern to find.
4. Ask me which question to answer first, with three to choose from. Wait for my choice.
5. Answer it with read_query. Show the SQL and what it returned. Add each thing that you find out to the memo with append_insight.
6. When two or three questions are answered, show the memo (memo://insights), say what it means for the case, and which tables can be dropped.`,
        },
      },
    ],
  },
];
