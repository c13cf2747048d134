import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

type HttpSocket = Socket & { _httpMessage?: ServerResponse | null };

// `refuseUnreadable` in server.ts reads this private property. If this fails with a new version of Node, Rekey would write
// an error response into the middle of another response, or leave malformed requests without an answer.
describe("Node's HTTP server", () => {
  it('keeps the response that is being written in `_httpMessage` of its socket, and nothing between responses', async () => {
    const server = http.createServer();
    const seen: unknown[] = [];
    server.on('request', (request, response) => {
      const socket = request.socket as HttpSocket;
      seen.push(socket._httpMessage === response, response.headersSent);
      response.write('begun');
      seen.push(socket._httpMessage?.headersSent);
      response.end();
      response.once('close', () => seen.push(socket._httpMessage));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const agent = new http.Agent({ keepAlive: true });
      const response = await new Promise<http.IncomingMessage>((resolve) =>
        http.get({ port: (server.address() as AddressInfo).port, agent }, resolve),
      );
      await once(response.resume(), 'end');
      agent.destroy();
      expect(seen).toEqual([true, false, true, null]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
