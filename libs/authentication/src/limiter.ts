import type { Clock } from '@rekey/ports';
import type { IPv6 } from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { isIPv4 } from 'node:net';
import { parseAddress } from './networks';

export interface LimiterOptions {
  /** Failures of one client from one source within a window that are answered as such; those after it are limited. */
  readonly failuresMax: number;
  readonly windowMs: number;
  /** Pairs of client and source that are counted at a time; the one that was idle longest is forgotten first. */
  readonly pairsMax: number;
  /** Slow verifications of one client at a time. */
  readonly slowConcurrency: number;
}

export const LIMITER_DEFAULTS: LimiterOptions = {
  failuresMax: 10,
  windowMs: 60_000,
  pairsMax: 50_000,
  slowConcurrency: 2,
};

interface Window {
  failures: number;
  readonly endsAtMs: number;
}

interface SlowQueue {
  running: number;
  readonly waiting: (() => void)[];
}

/** The first 64 bits of an IPv6 address: what one customer is given, and can choose addresses in at will. */
const IPV6_SITE_PARTS = 4;

/** One text per source: an IPv4 address, an IPv6 /64, or, for what is no address, the text itself, cut. */
export const sourceKey = (source: string | undefined): string => {
  if (source !== undefined && isIPv4(source)) return source;
  const address = parseAddress(source);
  if (!address) return (source ?? '').slice(0, 64);
  if (address.kind() === 'ipv4') return address.toString();
  return (address as IPv6).parts
    .slice(0, IPV6_SITE_PARTS)
    .map((part) => part.toString(16))
    .join(':');
};

/**
 * Counts wrong answers. It never decides whether a check is made, only how a wrong one is refused, so no number of
 * wrong secrets keeps a right one out. Clients that are not known share one count per source: an endless list of made-up
 * ids takes no memory. (So who counts can tell known client ids from unknown ones; RFC 6749 §2.2: they are no secret.)
 */
export class FailureLimiter {
  private readonly options: LimiterOptions;
  private readonly windows: LRUCache<string, Window>;
  private readonly slow = new Map<string, SlowQueue>();

  constructor(
    private readonly clock: Clock,
    options: Partial<LimiterOptions> = {},
  ) {
    this.options = { ...LIMITER_DEFAULTS, ...options };
    this.windows = new LRUCache({ max: this.options.pairsMax });
  }

  /**
   * Counts a failure of a client (undefined: not a known one) from a source. Answers undefined while they are few, else
   * the whole seconds until the window ends, at least 1.
   */
  failed(client: string | undefined, source: string | undefined): number | undefined {
    const key = `${client ?? ''} ${sourceKey(source)}`;
    const nowMs = this.clock.monotonicMs();
    const open = this.windows.get(key);
    const window = open && nowMs < open.endsAtMs ? open : { failures: 0, endsAtMs: nowMs + this.options.windowMs };
    if (window !== open) this.windows.set(key, window);
    window.failures += 1;
    if (window.failures <= this.options.failuresMax) return undefined;
    return Math.max(1, Math.ceil((window.endsAtMs - nowMs) / 1000));
  }

  /** How many pairs of client and source are counted now. */
  get size(): number {
    return this.windows.size;
  }

  /**
   * Runs a slow verification, at most so many of one client at a time; the others wait in order. What waits is bounded
   * by what can be right: a wrong value is refused by its lookup id before it comes here.
   */
  async inTurn<T>(client: string, verify: () => Promise<T>): Promise<T> {
    const queue = this.slow.get(client) ?? { running: 0, waiting: [] };
    this.slow.set(client, queue);
    if (queue.running >= this.options.slowConcurrency)
      await new Promise<void>((resolve) => void queue.waiting.push(resolve));
    else queue.running += 1;
    try {
      return await verify();
    } finally {
      const next = queue.waiting.shift();
      // The next one takes this one's place, so `running` stays as it is.
      if (next) next();
      else if (--queue.running === 0) this.slow.delete(client);
    }
  }
}
