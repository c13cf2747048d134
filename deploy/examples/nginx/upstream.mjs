// A small service behind nginx: says who nginx says is calling. `node upstream.mjs <port>`; port 0 takes a free one.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const told = Object.entries(request.headers).filter(
    ([name]) => name.startsWith('x-rekey-') || name === 'authorization',
  );
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ path: request.url, ...Object.fromEntries(told) })}\n`);
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.once('SIGTERM', () => server.close(() => process.exit(0)).closeAllConnections());
