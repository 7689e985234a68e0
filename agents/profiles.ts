/** What each agent can do: the words that tasks ask for in `requires`. What it may do, its scope, stands in the catalogue. */
import type { AgentName } from '#config/catalogue.ts';

export interface Profile {
  readonly capabilities: readonly string[];
}

export const profiles: Readonly<Record<AgentName, Profile>> = {
  'agent-manager': {
    capabilities: ['manager', 'planning', 'project-planning', 'coordination', 'reporting', 'risk-assessment'],
  },
  'agent-frontend': {
    capabilities: ['frontend', 'react', 'vue', 'angular', 'typescript', 'css', 'responsive-design'],
  },
  'agent-backend': {
    capabilities: ['backend', 'python', 'go', 'node.js', 'typescript', 'api-design', 'microservices'],
  },
  'agent-database': {
    capabilities: ['database', 'sql', 'sqlite', 'postgresql', 'mysql', 'mongodb', 'redis', 'optimisation'],
  },
  'agent-devops': {
    capabilities: ['devops', 'aws', 'docker', 'kubernetes', 'jenkins', 'terraform', 'monitoring'],
  },
  'agent-integration': {
    capabilities: ['integration', 'slack', 'git', 'youtrack', 'api-integrations', 'webhooks'],
  },
  'agent-qa': {
    capabilities: ['qa', 'testing', 'automation', 'selenium', 'pytest', 'quality-assurance'],
  },
};
