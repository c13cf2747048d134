import { RekeyError, type CommandEnvelope, type CommandReply, type CommandType } from '@rekey/contracts';
import { applicationIdOf, applicationStream, type ApplicationEvent, type Instant } from '@rekey/domain';
import { ManualClock } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { MemoryCommandBus } from './memory-command-bus.testing';
import { MemoryEventStore } from './memory-event-store.testing';
import { MemoryJobs } from './memory-jobs.testing';
import { MemoryNotifier } from './memory-notifier.testing';
import { MemoryScheduleView } from './memory-schedule-view.testing';
import { ExpiryWatcher, type ExpiryWatcherOptions } from './watcher';

export const DOMAIN = 'shop';
export const APPLICATION = applicationIdOf(DOMAIN, 'web');
export const SECRET = '22222222-2222-4222-8222-222222222222';
const HOUR_MS = 3_600_000;

/** A watcher and everything around it in memory, on a manual clock. */
export class World {
  readonly clock: ManualClock;
  readonly store = new MemoryEventStore();
  readonly jobs: MemoryJobs;
  readonly bus: MemoryCommandBus;
  readonly schedule = new MemoryScheduleView(this.store);
  readonly log: MemoryNotifier;
  readonly ui: MemoryNotifier;
  private readonly watchers: ExpiryWatcher[] = [];

  constructor(start: Instant) {
    this.clock = new ManualClock(Date.parse(start));
    this.jobs = new MemoryJobs(this.clock);
    this.bus = new MemoryCommandBus(this.store, this.clock);
    this.log = new MemoryNotifier('log', this.clock);
    this.ui = new MemoryNotifier('ui', this.clock);
  }

  /** Creates a domain and an application, each with contacts. */
  async begin(): Promise<void> {
    await this.do('CreateDomain', { domainId: DOMAIN, name: 'Shop', contacts: ['ops@example.org'] });
    const ids = { domainId: DOMAIN, applicationId: APPLICATION };
    await this.do('RegisterApplication', {
      ...ids,
      clientId: 'web',
      name: 'Web',
      contacts: ['web@example.org', 'ops@example.org'],
    });
  }

  async watch(more: Partial<ExpiryWatcherOptions> = {}): Promise<ExpiryWatcher> {
    const { store, jobs, bus, clock, schedule } = this;
    const watcher = new ExpiryWatcher({
      store,
      jobs,
      bus,
      clock,
      schedule,
      notifiers: [this.log, this.ui],
      notifications: {
        enabled: true,
        cronExpression: '0 0 5 * * *',
        timezone: 'UTC',
        expiryThresholds: [20, 15, 10, 5, 1],
      },
      ...more,
    });
    this.watchers.push(watcher);
    await watcher.start();
    await this.settle();
    return watcher;
  }

  async do(type: CommandType, data: object): Promise<CommandReply> {
    const command = { id: randomUUID(), type, data } as CommandEnvelope;
    const caller = { type: 'token', name: 'test', roles: ['admin'], domains: [] } as const;
    const request = {
      command,
      caller: { ...caller, roles: [...caller.roles], domains: [] },
      correlationId: command.id,
    };
    const reply = await this.bus.send(request);
    if (reply.status === 'rejected') throw new RekeyError(reply.error?.code ?? 'internal', reply.error?.message ?? '');
    await this.settle();
    return reply;
  }

  /** Sends a command about the one secret of most tests. */
  onSecret(type: CommandType, data: object = {}): Promise<CommandReply> {
    return this.do(type, { domainId: DOMAIN, applicationId: APPLICATION, secretId: SECRET, ...data });
  }

  onApplication(type: CommandType, data: object = {}): Promise<CommandReply> {
    return this.do(type, { domainId: DOMAIN, applicationId: APPLICATION, ...data });
  }

  /** Lets all pending work finish: each of its steps ends within a turn of the event loop. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 12; turn++) {
      this.clock.advance(0);
      await setImmediate();
    }
  }

  /** Advances the clock in steps, so that jobs run when they are due. */
  async advance(byMs: number, stepMs = Math.min(byMs, HOUR_MS)): Promise<void> {
    for (let left = byMs; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left));
      await this.settle();
    }
  }

  async advanceTo(instant: Instant, stepMs = HOUR_MS): Promise<void> {
    await this.advance(Date.parse(instant) - this.clock.nowMs(), stepMs);
  }

  /** Stops all watchers, as the end of their process does. */
  async stop(): Promise<void> {
    await Promise.all(this.watchers.splice(0).map((watcher) => watcher.stop()));
    await this.jobs.close();
  }

  /** Returns the data of all events of a type in the stream of the application. */
  recorded(type: ApplicationEvent['type']): Record<string, unknown>[] {
    const events = this.store.events.filter(
      (event) => event.type === type && event.stream === applicationStream(APPLICATION),
    );
    return events.map(({ data }) => ({ ...data }));
  }
}
