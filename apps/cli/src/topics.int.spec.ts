import { describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Workplace, buildCli } from './testing';

const place = new Workplace();
const configure = (kafka: object): void =>
  writeFileSync(path.join(place.folder, 'server.yml'), JSON.stringify({ kafka }));
const topics = (action: string, ...args: readonly string[]) =>
  place.run(['topics', action, '--server-config', 'server.yml', ...args]);

beforeAll(buildCli, 60_000);
afterAll(() => place.remove());

describeOn(['kafka'], ({ kafka }) => {
  const topicPrefix = `test-${randomUUID().slice(0, 8)}.`;

  it('makes the topics of the configuration, and tells which there are', async () => {
    configure({ brokers: [kafka], topicPrefix });
    expect((await topics('list')).stdout).toMatch(new RegExp(`^${topicPrefix}rekey.commands +not there$`, 'm'));
    const made = await topics('create', '--partitions', '3', '--replication', '1');
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect((await topics('list')).stdout).toBe(made.stdout);
    const { stdout } = await topics('list', '--json');
    expect((JSON.parse(stdout) as { topics: unknown }).topics).toEqual([
      { name: `${topicPrefix}rekey.commands`, partitions: 3 },
      { name: `${topicPrefix}rekey.commands.reply`, partitions: 3 },
      { name: `${topicPrefix}rekey.commands.dead`, partitions: 1 },
      { name: `${topicPrefix}rekey.events`, partitions: 3 },
      { name: `${topicPrefix}rekey.notifications`, partitions: 3 },
    ]);
  });

  it('leaves those that are there as they are', async () => {
    configure({ brokers: [kafka], topicPrefix });
    const { code, stdout } = await topics('create', '--partitions', '5');
    expect([code, stdout]).toEqual([0, expect.stringMatching(new RegExp(`^${topicPrefix}rekey.commands +3$`, 'm'))]);
  });

  it('is 1, and says why, where Kafka will not', async () => {
    configure({ brokers: [kafka], topicPrefix: `test-${randomUUID().slice(0, 8)}.` });
    const { code, stderr } = await topics('create', '--replication', '99', '--timeout', '1s');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/Kafka at .* did not do it: .*[Rr]eplication/)]);
  });
});

it('is 3 where no broker answers', async () => {
  configure({ brokers: ['127.0.0.1:9'] });
  const { code, stderr } = await topics('list');
  expect([code, stderr]).toEqual([3, expect.stringContaining('Kafka at 127.0.0.1:9 did not do it')]);
});

it('is 2 where the configuration names no broker', async () => {
  configure({});
  expect((await topics('list')).code).toBe(2);
});
