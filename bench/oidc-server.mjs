// oidc-provider with its in-memory adapter and confidential clients, for token introspection. Prints its port as JSON.
// Usage: node bench/oidc-server.mjs <number of clients>. Client n is `client-n`; its secret is `secret-n`, padded to 64.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const clients = Array.from({ length: Number(process.argv[2] ?? 1) }, (_, index) => ({
  client_id: `client-${index}`,
  client_secret: `secret-${index}`.padEnd(64, '-'),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
}));

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
  },
});
server.on('request', provider.callback());
process.stdout.write(`${JSON.stringify({ port })}\n`);
