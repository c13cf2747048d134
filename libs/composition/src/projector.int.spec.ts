import { VIEW_VERSIONS } from '@rekey/contracts';
import { loadConfig } from '@rekey/platform';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createProcess, type Process } from './process';

/** Without a broker the projector still maintains the views; only its publisher waits. */
describe('a projector in a separate process', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-projector-'));
  let projector: Process;
  let url: string;

  beforeAll(async () => {
    const env = {
      REKEY_STORAGE_PATH: folder,
      REKEY_LOGGING_LEVEL: 'silent',
      REKEY_OPERATIONS_PORTS_PROJECTOR: '0',
      REKEY_ADAPTERS_BUS: 'kafka',
      REKEY_KAFKA_BROKERS: '127.0.0.1:1',
    };
    projector = await createProcess({ config: loadConfig({ env }), services: ['projector'] });
    url = await projector.listen();
    expect(await projector.ready()).toBe(true);
  });
  afterAll(async () => {
    await projector.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is ready when the stores answer and every view is projected', async () => {
    const { status, probes } = (await (await fetch(`${url}/health/ready`)).json()) as {
      status: string;
      probes: object;
    };
    expect(status).toBe('ready');
    const views = Object.keys(VIEW_VERSIONS).map((view) => `projection ${view}`);
    expect(Object.keys(probes).sort()).toEqual(['event store', 'views', ...views].sort());
  });

  it('reports readiness, lag and parked streams of every view', async () => {
    const metrics = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
    // The publisher reads its position in the background.
    let text = await metrics();
    while (!text.includes('rekey_publisher_lag_seconds{')) text = await metrics();
    for (const view of Object.keys(VIEW_VERSIONS)) {
      expect(text).toContain(`rekey_view_ready{view="${view}"} 1\n`);
      expect(text).toContain(`rekey_view_lag_seconds{view="${view}"} 0\n`);
      expect(text).toContain(`rekey_parked_streams{view="${view}"} 0\n`);
    }
    expect(text).toContain('rekey_publisher_lag_seconds{publisher="kafka"} 0\n');
  });
});
