import { connect, type Socket } from 'node:net';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Latencies } from './latencies';
import { ResponseReader, type Answer } from './response-reader';

/** A request as sent over the wire. */
export type RequestBytes = Buffer;

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** A connection that sends one request at a time and reads the whole answer. */
export class Client {
  private readonly reader = new ResponseReader();
  private settle: ((answer: Answer) => void) | undefined;
  private fail: ((error: Error) => void) | undefined;
  private readonly socket: Socket;

  constructor({ host, port }: Target) {
    this.socket = connect({ host, port, noDelay: true });
    this.socket.on('data', (bytes) => {
      const answer = this.reader.pushWhole(bytes);
      if (answer) this.settle?.(answer);
    });
    this.socket.on('error', (error) => this.fail?.(error));
    this.socket.on('close', () => this.fail?.(new Error('The server closed the connection.')));
  }

  ask(request: RequestBytes): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.settle = resolve;
      this.fail = reject;
      this.socket.write(request);
    });
  }

  close(): void {
    this.fail = undefined;
    this.socket.destroy();
  }
}

/** Result of a load run. */
export interface LoadResult {
  /** Answers during the measurement. */
  readonly answers: number;
  readonly perSecond: number;
  readonly statuses: Readonly<Record<number, number>>;
  readonly latencies: Latencies;
  /** CPU time of the server per answer, in microseconds; NaN if unknown. */
  readonly serverCpuUs: number;
  /** Share of one core that the load generator used. */
  readonly ownCpuShare: number;
  /** Cores used by other programs during the measurement; NaN if unknown. */
  readonly othersCores: number;
}

/** Returns the bytes of a request. A body is sent as JSON unless the headers set another content type. */
export const requestBytes = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): RequestBytes => {
  const all: Record<string, string> = {
    host: 'localhost',
    ...(body !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`);
};

/** As `Client`, but reports only the status and reuses one buffer for all answers. */
class Connection {
  private readonly reader = new ResponseReader();
  private settle: ((status: number) => void) | undefined;
  private readonly socket: Socket;
  readonly opened: Promise<void>;

  constructor({ host, port }: Target, fail: (error: Error) => void) {
    const buffer = Buffer.allocUnsafe(64 * 1024);
    this.socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer,
        callback: (length) => {
          const status = this.reader.push(buffer.subarray(0, length));
          if (status !== undefined) this.settle?.(status);
          return true;
        },
      },
    });
    this.opened = new Promise((resolve) => this.socket.once('connect', resolve));
    this.socket.on('error', fail);
    this.socket.on('close', () => this.settle && fail(new Error('The server closed a connection.')));
  }

  ask(request: RequestBytes, settle: (status: number) => void): void {
    this.settle = settle;
    this.socket.write(request);
  }

  close(): void {
    this.settle = undefined;
    this.socket.destroy();
  }
}

/** Returns the time that all cores of the machine have been busy, in milliseconds. */
export const busyMs = (): number =>
  cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);

/** Opens connections, lets `drive` use them until `over` returns true, and records the answers it counts. */
const measure = async (
  {
    target,
    connections,
    warmUpMs,
    durationMs,
    serverCpuMs = () => undefined,
    partnersCpuMs = () => 0,
    signal,
  }: LoadOptions,
  drive: (open: readonly Connection[], count: (latencyMs: number, status: number) => void, over: () => boolean) => void,
): Promise<LoadResult> => {
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  const open = Array.from({ length: connections }, () => new Connection(target, fail));
  try {
    await Promise.race([failed, Promise.all(open.map(({ opened }) => opened))]);
    const statuses: Record<number, number> = {};
    let latencies = new Latencies();
    let answers = 0;
    let counting = false;
    let over = false;
    drive(
      open,
      (latencyMs, status) => {
        if (!counting) return;
        answers += 1;
        statuses[status] = (statuses[status] ?? 0) + 1;
        latencies.add(latencyMs);
      },
      () => over,
    );
    const pause = (ms: number) => Promise.race([failed, sleep(ms, undefined, { signal }).catch(() => undefined)]);
    await pause(warmUpMs);
    latencies = new Latencies();
    const cpu = process.cpuUsage();
    const machineBeforeMs = busyMs();
    const serverBeforeMs = serverCpuMs();
    const partnersBeforeMs = partnersCpuMs();
    const startedMs = performance.now();
    counting = true;
    await pause(durationMs);
    counting = false;
    const tookMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpu);
    over = true;
    const serverMs = (serverCpuMs() ?? NaN) - (serverBeforeMs ?? NaN);
    const serverCpuUs = (serverMs * 1000) / answers;
    const ownMs = (user + system) / 1000;
    const ownCpuShare = ownMs / tookMs;
    const measuredMs = serverMs + ownMs + partnersCpuMs() - partnersBeforeMs;
    const othersCores = Math.max(0, busyMs() - machineBeforeMs - measuredMs) / tookMs;
    return {
      answers,
      perSecond: (answers * 1000) / tookMs,
      statuses,
      latencies,
      serverCpuUs,
      ownCpuShare,
      othersCores,
    };
  } finally {
    for (const connection of open) connection.close();
  }
};

export interface LoadOptions {
  readonly target: Target;
  readonly requests: readonly RequestBytes[];
  readonly connections: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** CPU time of the server so far, in milliseconds. */
  readonly serverCpuMs?: () => number | undefined;
  /** CPU time of everything else that belongs to the measured system: engines, other services. */
  readonly partnersCpuMs?: () => number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
}

/** Sends the next request on each connection when an answer arrives: measures the maximum throughput. */
export const saturate = (options: LoadOptions): Promise<LoadResult> =>
  measure(options, (open, count, over) => {
    const { requests } = options;
    let next = 0;
    for (const connection of open) {
      const ask = (): void => {
        if (over()) return;
        const request = requests[next++ % requests.length] as RequestBytes;
        const sentMs = performance.now();
        connection.ask(request, (status) => {
          count(performance.now() - sentMs, status);
          ask();
        });
      };
      ask();
    }
  });

/** Resolution of the timer of the generator. A request sent this late is not counted as a delay of the server. */
const TIMER_GRAIN_MS = 2;

/**
 * Sends requests at a fixed rate, whatever the server does. Latency counts from when a request was due, so a stalled
 * server is charged for every request that had to wait (no coordinated omission).
 */
export const atRate = (options: LoadOptions & { readonly perSecond: number }): Promise<LoadResult> => {
  const { requests, perSecond } = options;
  return measure(options, (open, count, over) => {
    const idle = [...open];
    const due: number[] = [];
    const startedMs = performance.now();
    let planned = 0;
    let next = 0;
    const send = (): void => {
      while (due.length > 0 && idle.length > 0) {
        const connection = idle.pop() as Connection;
        const dueMs = due.shift() as number;
        connection.ask(requests[next++ % requests.length] as RequestBytes, (status) => {
          count(performance.now() - dueMs, status);
          idle.push(connection);
          send();
        });
      }
    };
    const tick = (): void => {
      if (over()) return;
      const nowMs = performance.now();
      for (; startedMs + (planned * 1000) / perSecond <= nowMs; planned++) {
        const plannedMs = startedMs + (planned * 1000) / perSecond;
        due.push(nowMs - plannedMs <= TIMER_GRAIN_MS ? nowMs : plannedMs);
      }
      send();
      setTimeout(tick, 1);
    };
    tick();
  });
};
