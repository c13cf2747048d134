import { Metrics } from '@rekey/platform';
import { textOf } from './deploy.testing';

interface Target {
  readonly expr: string;
  readonly datasource: { readonly uid: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

const dashboard = JSON.parse(textOf('deploy/grafana/rekey.json')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
};
const targets = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => ({ panel, ...target })));

/** Labels that Prometheus adds to every series. */
const OF_SCRAPES = ['job', 'instance'];

/** Returns every metric with its labels, from a registry in which every metric was recorded once. */
const known = async (): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
  const metrics = new Metrics();
  metrics.commandHandled('AddSecret', 'accepted');
  metrics.checked('valid');
  metrics.hashed('verify', 1);
  metrics.noticeSent('log', 'sent');
  metrics.poisonEvent('secrets');
  metrics.deadLettered('unparsable');
  metrics.replyUndeliverable();
  metrics.commandRefused('forbidden');
  metrics.commandWaits();
  metrics.consumerRestarted('commands');
  metrics.httpRequest('GET', '/health/live', 200, 1);
  metrics.watchView('secrets', () => ({ ready: true, lagSeconds: 0 }));
  metrics.watchProjections(async () => [{ view: 'secrets', ready: true, lagSeconds: 0, parkedStreams: 0 }]);
  metrics.watchPublisher('kafka', async () => 0);
  metrics.watchJobs('expiry', () => Promise.resolve({ waiting: 0, running: 0, dead: 0 }));
  const text = await metrics.text();
  const series = [...text.matchAll(/^(\w+)(?:\{(.*)\})? /gm)].map(([, name = '', labels = '']) => {
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
    return [name, new Set([...names, ...OF_SCRAPES])] as const;
  });
  return new Map(series);
};

const metricsIn = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:rekey|process|nodejs)_\w+/g)].map(([name]) => name);

describe('Grafana dashboard', () => {
  it('queries existing metrics and labels', async () => {
    const series = await known();
    for (const { panel, expr } of targets) {
      const names = metricsIn(expr);
      expect([panel.title, names.filter((name) => !series.has(name))]).toEqual([panel.title, []]);
      expect([panel.title, names.length]).toEqual([panel.title, 1]);
      const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/, */));
      const filtered = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label);
      const labels = [...series.get(names[0] ?? '')!];
      expect(labels).toEqual(expect.arrayContaining([...grouped, ...filtered]));
    }
  });

  it('shows every metric of Rekey and the state of the process', async () => {
    const text = await new Metrics({ processMetrics: false }).text();
    const ours = [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name);
    const shown = targets
      .flatMap(({ expr }) => metricsIn(expr))
      .map((name) => name.replace(/_(bucket|count|sum)$/, ''));
    expect(ours.filter((name) => !shown.includes(name))).toEqual([]);
    expect(shown).toEqual(
      expect.arrayContaining([
        'process_cpu_seconds_total',
        'process_resident_memory_bytes',
        'nodejs_eventloop_lag_p99_seconds',
      ]),
    );
  });

  it('shows states and outcomes separately', () => {
    const by = (metric: string) =>
      targets.filter(({ expr }) => metricsIn(expr).includes(metric)).map(({ expr }) => expr);
    expect(by('rekey_checks_total').join()).toContain('by (outcome)');
    expect(by('rekey_commands_total').join()).toContain('by (outcome)');
    expect(by('rekey_jobs').join()).toContain('by (queue, state)');
  });

  it('uses the selected data source and the selected processes', () => {
    for (const { expr, datasource } of targets) {
      expect(datasource.uid).toBe('${datasource}');
      expect(expr).toContain('{job=~"$job", instance=~"$instance"');
    }
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'instance']);
  });

  it('does not overlap panels', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});
