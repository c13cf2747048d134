import { TIMEOUT_MS, clientOptions } from '@rekey/adapters/mongodb';
import { applicationIdOf, applicationStream, domainStream } from '@rekey/domain';
import fastify from 'fastify';
import { MongoClient } from 'mongodb';
import type { AddressInfo } from 'node:net';

/**
 * Baseline of the check at the gateway: the same server, body, answer and read of the view, by the same driver with the
 * same options, without a check. Configured by MONGODB_URI, MONGODB_DATABASE and VIEW (the collection). Prints its port
 * as JSON.
 */
const main = async (): Promise<void> => {
  const { MONGODB_URI = '', MONGODB_DATABASE = '', VIEW = '' } = process.env;
  const client = new MongoClient(MONGODB_URI, clientOptions(TIMEOUT_MS));
  await client.connect();
  const view = client.db(MONGODB_DATABASE).collection<{ readonly _id: string }>(VIEW);
  // The gateway caches these ids as well.
  const known = new Map<string, string>();
  const idOf = (domainId: string, clientId: string): string => {
    const name = `${domainId}:${clientId}`;
    const id = known.get(name) ?? applicationStream(applicationIdOf(domainId, clientId));
    known.set(name, id);
    return id;
  };
  const server = fastify();
  server.post<{ Params: { domainId: string }; Body: { clientId: string } }>(
    '/api/v1/domains/:domainId/authenticate',
    async ({ params: { domainId }, body: { clientId } }, reply) => {
      const ids = ['', idOf(domainId, clientId), domainStream(domainId)];
      const found = await view
        .find(
          { _id: { $in: ids } },
          { sort: { _id: 1 }, hint: { _id: 1 }, readConcern: { level: 'local' }, batchSize: 4, maxTimeMS: TIMEOUT_MS },
        )
        .toArray();
      if (found.length !== ids.length) throw new Error('The view has no document for the request.');
      reply.header('cache-control', 'no-store');
      return {
        valid: true,
        domainId,
        clientId,
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
