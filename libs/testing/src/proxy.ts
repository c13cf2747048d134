import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A way to a server that tests cut, stop from answering, and end. */
export interface Proxy {
  /** On 127.0.0.1; the same for as long as the proxy is there. */
  readonly port: number;
  /** As of a process that is stopped: nothing is refused, nothing is answered. */
  stall(): void;
  /** Ends what had been stopped; new connections are served again. */
  unstall(): void;
  /** Requests arrive, and nothing of what the server answers does, until `cut`. */
  mute(): void;
  /** Ends all connections; new ones are served. */
  cut(): void;
  /** Ends all connections and refuses new ones. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** A proxy to a server on a host and port. */
export const proxyTo = async (host: string, port: number): Promise<Proxy> => {
  const sockets = new Set<Socket>();
  let stalled = false;
  let muted = false;
  let server: Server | undefined;
  const listen = (on: number): Promise<number> =>
    new Promise((resolve) => {
      server = createServer((inner) => {
        const outer = connect(port, host);
        for (const socket of [inner, outer]) {
          sockets.add(socket.on('error', () => socket.destroy()));
          socket.on('close', () => sockets.delete(socket));
        }
        inner.pipe(outer);
        outer.on('data', (chunk: Buffer) => void (muted || inner.write(chunk)));
        outer.on('end', () => inner.end());
        inner.on('close', () => outer.destroy());
        outer.on('close', () => inner.destroy());
        if (stalled) for (const socket of [inner, outer]) socket.pause();
      }).listen(on, '127.0.0.1', () => resolve((server?.address() as AddressInfo).port));
    });
  const own = await listen(0);
  const cut = (): void => {
    muted = false;
    sockets.forEach((socket) => socket.destroy());
  };
  return {
    port: own,
    stall: () => {
      stalled = true;
      sockets.forEach((socket) => socket.pause());
    },
    unstall: () => {
      stalled = false;
      cut();
    },
    mute: () => void (muted = true),
    cut,
    down: () => new Promise((resolve) => (server?.close(() => resolve()), cut())),
    up: async () => void (await listen(own)),
  };
};
