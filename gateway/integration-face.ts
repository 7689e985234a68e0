/** The gateway's face of gRPC: `flotilla.v1.IntegrationService` of proto/. */
import type { GrpcFace, Relayed } from '#runtime/service.ts';

import type { Gateway } from './gateway.ts';
import { callIntegration, listIntegrations } from './rest/integrations.ts';

const answeredBy = ({ name }: { readonly name: string }): Relayed<Gateway> => ({
  relayed: async (given, gateway, asked) => gateway.askOwn(name, given, asked),
});

export const integrationFace: GrpcFace<Gateway> = {
  service: 'flotilla.v1.IntegrationService',
  protos: new URL('../proto/flotilla.json', import.meta.url),
  methods: {
    ListIntegrations: answeredBy(listIntegrations),
    CallIntegration: answeredBy(callIntegration),
  },
};
