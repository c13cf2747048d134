import type { AddressInfo } from 'node:net';
import fastify from 'fastify';

/** Baseline of the check: the same server, body and answer, without a check. Prints its port as JSON. */
const main = async (): Promise<void> => {
  const server = fastify();
  server.post<{ Params: { domainId: string }; Body: { clientId: string } }>(
    '/api/v1/domains/:domainId/authenticate',
    async ({ params, body }, reply) => {
      reply.header('cache-control', 'no-store');
      return {
        valid: true,
        domainId: params.domainId,
        clientId: body.clientId,
        applicationId: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10',
        secretId: '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f',
        version: 1,
        expiresAt: '2027-03-01T00:00:00.000Z',
      };
    },
  );
  await server.listen({ host: '127.0.0.1', port: 0 });
  process.stdout.write(`${JSON.stringify({ port: (server.server.address() as AddressInfo).port })}\n`);
};

void main();
