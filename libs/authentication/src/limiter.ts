import type { Clock } from '@rekey/ports';
import type { IPv6 } from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { isIPv4 } from 'node:net';
import { parseAddress } from './networks';

export interface LimiterOptions {
  /** Failures per client, source and window before the limiter starts to answer with `rate_limited`. */
  readonly failuresMax: number;
  readonly windowMs: number;
  /** Pairs of client and source that are counted; the least recently used one is evicted. */
  readonly pairsMax: number;
  /** Concurrent slow verifications per client. */
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

/** Number of 16-bit groups in an IPv6 /64: one customer usually has a whole /64 and can use any address in it. */
const IPV6_SITE_PARTS = 4;

/** Returns the key of a source: an IPv4 address, an IPv6 /64, or the truncated text if it is not an address. */
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
 * Counts failed checks. The limiter does not prevent a check, it only changes how a failed one is answered, so an
 * attacker cannot lock out a client with wrong secrets. Unknown clients share one count per source, so that invented
 * client ids take no memory. This lets a caller tell known from unknown client ids, which are not secret (RFC 6749 §2.2).
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
   * Counts a failure of a client (undefined: an unknown client) from a source. Returns undefined while the failures are
   * within the limit, otherwise the seconds until the window ends, rounded up.
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

  /** Number of counted pairs of client and source. */
  get size(): number {
    return this.windows.size;
  }

  /**
   * Runs a slow verification, at most `slowConcurrency` per client at a time; the others wait in order. The queue stays
   * short because most wrong values have an unknown lookup id and are refused before.
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
      // The next one takes over this one's slot, so `running` does not change.
      if (next) next();
      else if (--queue.running === 0) this.slow.delete(client);
    }
  }
}
