import { EngineUnavailable, ManualClock, type StoredEvent } from '@rekey/ports';
import { Metrics, lagSeconds } from './metrics';

const metrics = () => new Metrics({ processMetrics: false });
const lines = async (from: Metrics): Promise<string[]> =>
  (await from.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

describe('metrics', () => {
  it('count commands and checks by outcome', async () => {
    const counted = metrics();
    counted.commandHandled('AddSecret', 'accepted');
    counted.commandHandled('AddSecret', 'accepted');
    counted.commandHandled('AddSecret', 'too_many_secrets');
    counted.checked('valid');
    counted.checked('wrong_secret');
    counted.checked('valid');
    const expected = [
      'rekey_commands_total{type="AddSecret",outcome="accepted"} 2',
      'rekey_commands_total{type="AddSecret",outcome="too_many_secrets"} 1',
      'rekey_checks_total{outcome="valid"} 2',
      'rekey_checks_total{outcome="wrong_secret"} 1',
    ];
    expect(await lines(counted)).toEqual(expect.arrayContaining(expected));
    expect(await lines(counted)).toEqual(expect.arrayContaining(expected));
  });

  it('count notices and poison events', async () => {
    const counted = metrics();
    counted.noticeSent('webhook', 'failed');
    counted.poisonEvent('secrets');
    expect(await lines(counted)).toEqual(
      expect.arrayContaining([
        'rekey_notices_total{channel="webhook",outcome="failed"} 1',
        'rekey_poison_events_total{view="secrets"} 1',
      ]),
    );
  });

  it('measure hashes in seconds', async () => {
    const counted = metrics();
    counted.hashed('verify', 3);
    expect(await lines(counted)).toEqual(
      expect.arrayContaining([
        'rekey_hash_duration_seconds_bucket{le="0.0025",operation="verify"} 0',
        'rekey_hash_duration_seconds_bucket{le="0.005",operation="verify"} 1',
        'rekey_hash_duration_seconds_sum{operation="verify"} 0.003',
      ]),
    );
  });

  it('measure requests by method, route and status in cumulative buckets', async () => {
    const counted = metrics();
    for (const elapsedMs of [0.4, 0.5, 0.6, 20_000]) counted.httpRequest('GET', '/a/:b', 200, elapsedMs);
    counted.httpRequest('GET', '/a/:b', 404, 1);
    const found = await lines(counted);
    const labels = 'method="GET",route="/a/:b",status="200"';
    expect(found).toEqual(
      expect.arrayContaining([
        `rekey_http_request_duration_seconds_bucket{${labels},le="0.0005"} 2`,
        `rekey_http_request_duration_seconds_bucket{${labels},le="0.001"} 3`,
        `rekey_http_request_duration_seconds_bucket{${labels},le="10"} 3`,
        `rekey_http_request_duration_seconds_bucket{${labels},le="+Inf"} 4`,
        `rekey_http_request_duration_seconds_count{${labels}} 4`,
        'rekey_http_request_duration_seconds_count{method="GET",route="/a/:b",status="404"} 1',
      ]),
    );
    const sum = found.find((line) => line.startsWith(`rekey_http_request_duration_seconds_sum{${labels}}`));
    expect(Number(sum?.split(' ')[1])).toBeCloseTo(20.0015, 6);
  });

  it('read views and queues on each scrape, and leave out those that fail', async () => {
    const counted = metrics();
    let lag: number | undefined = 2.5;
    let away = false;
    counted.watchView('secrets', () => ({ ready: lag !== undefined, lagSeconds: lag }));
    counted.watchJobs('notices', () =>
      away ? Promise.reject(new EngineUnavailable('jobs')) : Promise.resolve({ waiting: 3, running: 1, dead: 0 }),
    );
    expect(await lines(counted)).toEqual(
      expect.arrayContaining([
        'rekey_view_ready{view="secrets"} 1',
        'rekey_view_lag_seconds{view="secrets"} 2.5',
        'rekey_jobs{queue="notices",state="waiting"} 3',
        'rekey_jobs{queue="notices",state="dead"} 0',
      ]),
    );
    lag = undefined;
    away = true;
    const later = await lines(counted);
    expect(later).toContain('rekey_view_ready{view="secrets"} 0');
    expect(later.filter((line) => /lag|jobs/.test(line))).toEqual([]);
  });

  it('read projections and publishers on each scrape, and prefer the readers of views in this process', async () => {
    const counted = metrics();
    const progress = { ready: true, lagSeconds: 7, parkedStreams: 0 };
    let lag: number | undefined = 3;
    counted.watchProjections(() =>
      Promise.resolve([
        { view: 'secrets', ...progress },
        { view: 'domains', ...progress, parkedStreams: 2 },
      ]),
    );
    counted.watchView('secrets', () => ({ ready: false, lagSeconds: 1 }));
    counted.watchPublisher('kafka', () => Promise.resolve(lag));
    expect(await lines(counted)).toEqual(
      expect.arrayContaining([
        'rekey_view_ready{view="secrets"} 0',
        'rekey_view_ready{view="domains"} 1',
        'rekey_view_lag_seconds{view="secrets"} 1',
        'rekey_view_lag_seconds{view="domains"} 7',
        'rekey_parked_streams{view="secrets"} 0',
        'rekey_parked_streams{view="domains"} 2',
        'rekey_publisher_lag_seconds{publisher="kafka"} 3',
      ]),
    );
    lag = undefined;
    expect((await lines(counted)).filter((line) => line.includes('publisher'))).toEqual([]);
  });

  it('are valid Prometheus text: every metric with help and type, no line twice', async () => {
    const counted = new Metrics();
    counted.checked('valid');
    counted.commandHandled('AddSecret', 'accepted');
    counted.httpRequest('GET', 'odd"\\\n', 200, 1);
    const text = await counted.text();
    const all = text.split('\n').filter((line) => line !== '');
    expect(new Set(all).size).toBe(all.length);
    const named = new Set(all.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]));
    for (const line of all.filter((each) => !each.startsWith('#'))) {
      expect(line).toMatch(/^[a-z_0-9]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? [-+\d.eNaInf]+$/);
      const name = /^[a-z_0-9]+/.exec(line)?.[0] ?? '';
      expect(named.has(name) || named.has(name.replace(/_(bucket|sum|count)$/, ''))).toBe(true);
    }
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).toContain('route="odd\\"\\\\\\n"');
    expect(text.endsWith('\n')).toBe(true);
    expect(counted.contentType).toMatch(/^text\/plain/);
  });
});

describe('the lag of a view', () => {
  const nowMs = Date.parse('2027-01-01T00:01:00.000Z');
  const store = (...events: string[]) => ({
    head: () => Promise.resolve(`00${events.length}`),
    readFeed: jest.fn(() => Promise.resolve(events.map((occurredAt) => ({ metadata: { occurredAt } }) as StoredEvent))),
  });

  it('is the age of the oldest event after its checkpoint', async () => {
    const waiting = store('2027-01-01T00:00:57.500Z');
    expect(await lagSeconds(waiting, '', new ManualClock(nowMs))).toBe(2.5);
  });

  it('is zero at the head, without reading the feed', async () => {
    const read = store('2027-01-01T00:00:57.500Z', '2027-01-01T00:00:58.500Z');
    expect(await lagSeconds(read, '002', new ManualClock(nowMs))).toBe(0);
    expect(read.readFeed).not.toHaveBeenCalled();
  });

  it('is zero without events, or if clocks disagree', async () => {
    expect(await lagSeconds(store(), '', new ManualClock(nowMs))).toBe(0);
    expect(await lagSeconds(store('2027-01-01T00:02:00.000Z'), '', new ManualClock(nowMs))).toBe(0);
  });
});
