import { ManualClock, Notifier, SecretHasher, type ExpiryNotice } from '@rekey/ports';
import { Metrics } from './metrics';
import { ObservedHasher, ObservedNotifier } from './observed';

class SlowHasher extends SecretHasher {
  constructor(private readonly clock: ManualClock) {
    super();
  }
  random = (bytes: number) => new Uint8Array(bytes);
  hash = async () => this.after('made');
  verify = async () => this.after(true);
  importedLookupId = () => 'lookup';
  private after<T>(result: T): Promise<T> {
    this.clock.advance(30);
    return Promise.resolve(result);
  }
}

class Channel extends Notifier {
  readonly channel = 'pigeon';
  constructor(private readonly outcome: () => Promise<{ recipients: number }>) {
    super();
  }
  send = () => this.outcome();
}

const notice = {} as ExpiryNotice;

describe('an observed hasher', () => {
  it('returns what the hasher returns, and measures both operations', async () => {
    const clock = new ManualClock(0);
    const metrics = new Metrics({ processMetrics: false });
    const hasher = new ObservedHasher(new SlowHasher(clock), metrics, clock);
    expect(hasher.random(3)).toHaveLength(3);
    expect(await hasher.hash('value', 'generated')).toBe('made');
    expect(await hasher.verify('verifier', 'value')).toBe(true);
    expect(hasher.importedLookupId('acme', 'billing', 'value')).toBe('lookup');
    const text = await metrics.text();
    expect(text).toContain('rekey_hash_duration_seconds_sum{operation="hash"} 0.03');
    expect(text).toContain('rekey_hash_duration_seconds_count{operation="verify"} 1');
  });
});

describe('an observed notifier', () => {
  it('counts sent and failed notices, and passes both on', async () => {
    const metrics = new Metrics({ processMetrics: false });
    const well = new ObservedNotifier(new Channel(() => Promise.resolve({ recipients: 2 })), metrics);
    expect(well.channel).toBe('pigeon');
    expect(await well.send(notice)).toEqual({ recipients: 2 });
    const badly = new ObservedNotifier(new Channel(() => Promise.reject(new Error('no pigeon'))), metrics);
    await expect(badly.send(notice)).rejects.toThrow('no pigeon');
    const text = await metrics.text();
    expect(text).toContain('rekey_notices_total{channel="pigeon",outcome="sent"} 1');
    expect(text).toContain('rekey_notices_total{channel="pigeon",outcome="failed"} 1');
  });
});
