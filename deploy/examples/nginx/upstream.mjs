// A small service behind nginx that returns the identity headers it receives. Usage: node upstream.mjs <port> (0: any)
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const identity = Object.entries(request.headers).filter(
    ([name]) => name.startsWith('x-rekey-') || name === 'authorization',
  );
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ path: request.url, ...Object.fromEntries(identity) })}\n`);
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.once('SIGTERM', () => server.close(() => process.exit(0)).closeAllConnections());
