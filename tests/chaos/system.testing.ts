import { type AppName, type EngineName, freePort, type Proxy, RekeyProcess } from '@rekey/testing';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosEngine } from './engines.testing';

const POLL_MS = 50;
/** How long one question after a process's health may take. */
const ASK_TIMEOUT_MS = 3_000;

/** One of the processes; the same one for as long as the test lasts, whatever becomes of the process itself. */
export interface Member {
  readonly name: string;
  readonly app: AppName;
  /** Where it serves the API, or its health. */
  readonly port: number;
  process: RekeyProcess;
}

export interface ChaosSystemOptions {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** How many there are of each. */
  readonly apps: Readonly<Partial<Record<AppName, number>>>;
  /** Those that can be killed. */
  readonly engines: readonly ChaosEngine[];
  /** Ways to engines, these and others. */
  readonly proxies: ReadonlyMap<EngineName, Proxy>;
}

/** The processes and engines of a system that things are done to. Who ends without being killed is a problem. */
export class ChaosSystem {
  readonly members: readonly Member[];
  readonly engines: readonly ChaosEngine[];
  readonly proxies: ReadonlyMap<EngineName, Proxy>;
  readonly problems: string[] = [];
  /** Every process that there ever was. */
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

  /** Launches all at once; waits for none. */
  static async launch(options: ChaosSystemOptions): Promise<ChaosSystem> {
    const places: Omit<Member, 'process'>[] = [];
    for (const [app, count] of Object.entries(options.apps) as [AppName, number][])
      for (let index = 1; index <= count; index++)
        places.push({ app, name: count === 1 ? app : `${app}-${index}`, port: await freePort() });
    return new ChaosSystem(options, places);
  }

  /** Resolves when all say that they run. */
  async started(): Promise<void> {
    await Promise.all(this.members.map(({ process }) => process.started));
  }

  /** Those that serve the API. */
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

  /** SIGKILL; resolves when it is gone. */
  async kill({ process }: Member): Promise<void> {
    this.killed.add(process);
    await process.end('SIGKILL');
  }

  /** Ends it in good order: it has to end by itself, with exit code 0. */
  async end({ name, process }: Member, withinMs: number): Promise<void> {
    this.killed.add(process);
    const late = sleep(withinMs, undefined, { ref: false }).then(() => 'late' as const);
    const code = await Promise.race([process.end('SIGTERM'), late]);
    if (code === 0) return;
    this.problems.push(`${name} was ended, and did so with ${code}`);
    await process.end('SIGKILL');
  }

  /** Starts it again; does not wait for it. */
  launch(member: Member): void {
    member.process = this.launchProcess(member);
  }

  stop({ process }: Member): void {
    process.signal('SIGSTOP');
  }

  wake({ process }: Member): void {
    process.signal('SIGCONT');
  }

  /** Resolves when every process says that it is ready, and throws where that takes too long. */
  async ready(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    await Promise.all(this.members.map((member) => this.readyBy(member, deadline)));
  }

  private async readyBy({ name, port }: Member, deadline: number): Promise<void> {
    for (let told = 'nobody answers'; ;) {
      try {
        const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
        const response = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal });
        told = await response.text();
        if (response.ok) return;
      } catch {
        // Not there yet, or stopped.
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

  /** Everything that any of the processes has written. */
  get output(): string {
    return this.launched.map(({ process }) => process.output).join('');
  }

  /** Writes what processes and engines have written into a folder, each life of a process into a file of its own. */
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
