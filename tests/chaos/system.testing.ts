import { type AppName, type EngineName, freePort, type Proxy, RekeyProcess } from '@rekey/testing';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosEngine } from './engines.testing';

const POLL_MS = 50;
/** Timeout of one health request. */
const ASK_TIMEOUT_MS = 3_000;

/** A place for a process in the system. It lasts for the whole test, across restarts of the process. */
export interface Member {
  readonly name: string;
  readonly app: AppName;
  /** Port of the API or of its health. */
  readonly port: number;
  process: RekeyProcess;
}

export interface ChaosSystemOptions {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Number of processes by app. */
  readonly apps: Readonly<Partial<Record<AppName, number>>>;
  /** Engines that can be killed. */
  readonly engines: readonly ChaosEngine[];
  /** Proxies to these and other engines. */
  readonly proxies: ReadonlyMap<EngineName, Proxy>;
}

/** The processes and engines to which faults are applied. A process that exits by itself is a problem. */
export class ChaosSystem {
  readonly members: readonly Member[];
  readonly engines: readonly ChaosEngine[];
  readonly proxies: ReadonlyMap<EngineName, Proxy>;
  readonly problems: string[] = [];
  /** Every process ever launched. */
  private readonly launched: { readonly name: string; readonly process: RekeyProcess }[] = [];
  private readonly killed = new WeakSet<RekeyProcess>();

  private constructor(
    private readonly options: ChaosSystemOptions,
    places: readonly Omit<Member, 'process'>[],
  ) {
    this.engines = options.engines;
    this.proxies = options.proxies;
    this.members = places.map((place) => ({ ...place, process: this.launchProcess(place) }));
  }

  /** Launches all processes without waiting for them. */
  static async launch(options: ChaosSystemOptions): Promise<ChaosSystem> {
    const places: Omit<Member, 'process'>[] = [];
    for (const [app, count] of Object.entries(options.apps) as [AppName, number][])
      for (let index = 1; index <= count; index++)
        places.push({ app, name: count === 1 ? app : `${app}-${index}`, port: await freePort() });
    return new ChaosSystem(options, places);
  }

  /** Resolves when all are running. */
  async started(): Promise<void> {
    await Promise.all(this.members.map(({ process }) => process.started));
  }

  /** Processes that serve the API. */
  get gateways(): readonly Member[] {
    return this.members.filter(({ app }) => app === 'gateway' || app === 'standalone');
  }

  of(app: AppName): readonly Member[] {
    return this.members.filter((member) => member.app === app);
  }

  engine(name: EngineName): ChaosEngine | undefined {
    return this.engines.find((engine) => engine.name === name);
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** SIGKILL. Resolves when the process has ended. */
  async kill({ process }: Member): Promise<void> {
    this.killed.add(process);
    await process.end('SIGKILL');
  }

  /** SIGTERM. A process that does not end with exit code 0 in time is a problem and is killed. */
  async end({ name, process }: Member, withinMs: number): Promise<void> {
    this.killed.add(process);
    const late = sleep(withinMs, undefined, { ref: false }).then(() => 'late' as const);
    const code = await Promise.race([process.end('SIGTERM'), late]);
    if (code === 0) return;
    this.problems.push(`${name} was stopped and ended with ${code}`);
    await process.end('SIGKILL');
  }

  /** Starts it again without waiting for it. */
  launch(member: Member): void {
    member.process = this.launchProcess(member);
  }

  stop({ process }: Member): void {
    process.signal('SIGSTOP');
  }

  wake({ process }: Member): void {
    process.signal('SIGCONT');
  }

  /** Resolves when every process is ready. Throws after `withinMs`. */
  async ready(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    await Promise.all(this.members.map((member) => this.readyBy(member, deadline)));
  }

  private async readyBy({ name, port }: Member, deadline: number): Promise<void> {
    for (let told = 'no answer'; ;) {
      try {
        const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
        const response = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal });
        told = await response.text();
        if (response.ok) return;
      } catch {
        // Not listening yet, or paused.
      }
      if (performance.now() > deadline) throw new Error(`${name} is not ready: ${told}`);
      await sleep(POLL_MS);
    }
  }

  private launchProcess({ name, app, port }: Omit<Member, 'process'>): RekeyProcess {
    const { folder, env } = this.options;
    const launched = new RekeyProcess(app, folder, { env }, port);
    void launched.exited.then((status) => {
      if (!this.killed.has(launched)) this.problems.push(`${name} ended by itself with ${status}`);
    });
    this.launched.push({ name, process: launched });
    return launched;
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Output of all processes. */
  get output(): string {
    return this.launched.map(({ process }) => process.output).join('');
  }

  /** Writes all output to a folder, one file per launched process. */
  keepLogs(folder: string): void {
    mkdirSync(folder, { recursive: true });
    const lives = new Map<string, number>();
    for (const { name, process } of this.launched) {
      const life = (lives.get(name) ?? 0) + 1;
      lives.set(name, life);
      writeFileSync(path.join(folder, `${name}.${String(life).padStart(3, '0')}.log`), process.output);
    }
    for (const engine of this.engines) writeFileSync(path.join(folder, `${engine.name}.log`), engine.output);
  }

  /** Kills all processes. */
  async remove(): Promise<void> {
    await Promise.all(this.members.map((member) => this.kill(member)));
  }
}
