import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that a test can cut, stall and shut down. */
export interface Proxy {
  /** On 127.0.0.1; does not change. */
  readonly port: number;
  /** Behaves like a stopped process: connections are accepted, nothing is answered. */
  stall(): void;
  /** Closes the stalled connections and serves new ones. */
  unstall(): void;
  /** Forwards requests and drops all answers, until `cut`. */
  mute(): void;
  /** Closes all connections; new ones are served. */
  cut(): void;
  /** Closes all connections and refuses new ones. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Starts a proxy to a host and port. */
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
