import { type CommandReply, RekeyError, streamOf } from '@rekey/contracts';
import { type Clock, CommandBus, type CommandHandler, type CommandRequest } from '@rekey/ports';

export interface LocalCommandBusOptions {
  /** How many commands, of as many streams, are handled at the same time. */
  readonly concurrency?: number;
  /** How many may wait; more are refused. */
  readonly waitingMax?: number;
}

const CONCURRENCY = 64;
const WAITING_MAX = 10_000;

interface Entry {
  readonly request: CommandRequest;
  readonly stream: string;
  readonly resolve: (reply: CommandReply) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A bus inside one process. Commands to one stream are handled one after the other, in the order in which they were
 * sent; others side by side. A command whose time runs out before its turn is withdrawn (`unavailable`: certainly not
 * taken); one that is being handled by then is finished, only its sender no longer waits (`timeout`). What a handler
 * throws reaches the sender as it is.
 */
export class LocalCommandBus extends CommandBus {
  private handler: CommandHandler | undefined;
  private closed = false;
  private running = 0;
  /** Commands that wait, by stream. A stream with a command in hand has an entry here, though it may be empty. */
  private readonly queues = new Map<string, Entry[]>();
  /** Streams with a command to begin and none in hand, in the order in which their turn comes. */
  private readonly ready = new Set<string>();
  private waiting = 0;
  private onIdle: (() => void) | undefined;
  private readonly concurrency: number;
  private readonly waitingMax: number;

  constructor(
    private readonly clock: Clock,
    options: LocalCommandBusOptions = {},
  ) {
    super();
    this.concurrency = options.concurrency ?? CONCURRENCY;
    this.waitingMax = options.waitingMax ?? WAITING_MAX;
  }

  async serve(handler: CommandHandler): Promise<void> {
    if (this.handler) throw new Error('The bus has a handler.');
    this.handler = handler;
  }

  send(request: CommandRequest, timeoutMs: number): Promise<CommandReply> {
    if (this.closed || !this.handler) return Promise.reject(notTaken('Commands are not taken now.'));
    if (this.waiting >= this.waitingMax) return Promise.reject(notTaken('Too many commands wait already.'));
    return new Promise((resolve, reject) => {
      const cancel = this.clock.schedule(timeoutMs, () => reject(this.withdraw(entry) ? late() : unknown()));
      const entry: Entry = {
        request,
        stream: streamOf(request.command),
        resolve: (reply) => (cancel(), resolve(reply)),
        reject: (error) => (cancel(), reject(error)),
      };
      this.enqueue(entry);
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.running === 0 && this.waiting === 0) return;
    await new Promise<void>((resolve) => {
      const before = this.onIdle;
      this.onIdle = () => (before?.(), resolve());
    });
  }

  // ── Turns ──────────────────────────────────────────────────────────────────────────────────────────────────────

  private enqueue(entry: Entry): void {
    this.waiting++;
    const queue = this.queues.get(entry.stream);
    if (queue) {
      queue.push(entry);
    } else {
      this.queues.set(entry.stream, [entry]);
      this.ready.add(entry.stream);
    }
    this.beginAll();
  }

  private withdraw(entry: Entry): boolean {
    const queue = this.queues.get(entry.stream);
    const place = queue?.indexOf(entry) ?? -1;
    if (!queue || place < 0) return false;
    queue.splice(place, 1);
    this.waiting--;
    if (queue.length === 0 && this.ready.delete(entry.stream)) this.queues.delete(entry.stream);
    this.tellIfIdle();
    return true;
  }

  private beginAll(): void {
    for (const stream of this.ready) {
      if (this.running >= this.concurrency) return;
      this.ready.delete(stream);
      const entry = this.queues.get(stream)?.shift();
      if (entry) void this.handle(entry);
    }
  }

  private async handle(entry: Entry): Promise<void> {
    this.waiting--;
    this.running++;
    try {
      entry.resolve(await (this.handler as CommandHandler)(entry.request));
    } catch (error) {
      entry.reject(error);
    }
    this.running--;
    if (this.queues.get(entry.stream)?.length) this.ready.add(entry.stream);
    else this.queues.delete(entry.stream);
    this.beginAll();
    this.tellIfIdle();
  }

  private tellIfIdle(): void {
    if (this.running === 0 && this.waiting === 0) this.onIdle?.();
  }
}

const notTaken = (message: string): RekeyError => new RekeyError('unavailable', message);
const late = (): RekeyError => notTaken('The command was not taken in time. Send it again.');
const unknown = (): RekeyError =>
  new RekeyError('timeout', 'The outcome is unknown. Send the command again under the same id.');
