import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { NoAnswer, type Client, type Reply } from './client.testing';
import { drawPlan, type Plan } from './commands.testing';
import { Domain, Slot, type Allowed, type Value } from './model.testing';

/** A command sent once or more under one idempotency key. */
export interface SentCommand {
  readonly key: string;
  readonly plan: Plan;
  readonly sentAtMs: number;
  /** The first final answer. Undefined while the outcome is unknown. */
  reply?: Reply;
  accepted?: boolean;
  /** The stored outcome has been lost since, so the system knows only what is in the stream. */
  outcomeLost?: boolean;
}

/** Result of a check. `secretId` is set if it was admitted. */
export interface Checked {
  readonly outcome: 'admitted' | 'refused' | 'unavailable';
  readonly secretId?: string | undefined;
  /** Status and body, for the report of a problem. */
  readonly told: string;
}

export type Checker = (value: Value) => Promise<Checked>;

export interface LoadOptions {
  readonly random: (worker: number) => () => number;
  /** Prefix of every idempotency key. */
  readonly name: string;
  readonly domains?: number;
  readonly applications?: number;
  /** Whether a view may be unavailable: then a check may be answered 503, and 202 is not final. */
  readonly viewsAway?: boolean;
  /** Performs the checks instead of the servers that receive the commands. */
  readonly checker?: Checker;
  /** Whether servers may be killed: a caller without an answer retries at the next server under the same key. */
  readonly persistent?: boolean;
  /** How long a caller retries until a command must be settled. Default: a minute. */
  readonly patienceMs?: number;
  /** Longest pause of a caller between two requests. Default: none. */
  readonly pauseMs?: number;
}

const PATIENCE_MS = 60_000;
const AGAIN_AFTER_MS = 20;
/** Shorter than the time for which the system can repeat a generated value. */
const VALUE_KEPT_FOR_MS = 13 * 60_000;
/** Number of latest values that are checked more often. */
const LATEST = 60;

/**
 * Callers that continuously send commands of all kinds and check values, and compare every answer with earlier answers.
 * Contradictions are added to `problems`, without secret values.
 */
export class Load {
  readonly domains: readonly Domain[];
  readonly slots: readonly Slot[];
  readonly values: Value[] = [];
  readonly settled: SentCommand[] = [];
  /** Sent, with an unknown outcome. */
  unsettled: SentCommand[] = [];
  readonly problems: string[] = [];
  readonly counts = { admitted: 0, refused: 0, either: 0, unavailable: 0, unanswered: 0 };
  /** Called as soon as a command is settled. */
  onSettled: () => void = () => undefined;
  private clients: readonly Client[] = [];
  private turns = 0;
  private stopping = false;
  private broken = false;
  private paused = false;
  private keys = 0;
  private inHand = 0;
  private workers: Promise<void>[] = [];

  constructor(private readonly options: LoadOptions) {
    this.domains = Array.from({ length: options.domains ?? 2 }, (_, index) => new Domain(`${options.name}-${index}`));
    const { applications = 3 } = options;
    this.slots = this.domains.flatMap((domain) =>
      Array.from({ length: applications }, (_, index) => new Slot(domain, `client-${index}`)),
    );
  }

  /** From now on, sends requests to these servers in turn. */
  connect(...clients: readonly Client[]): void {
    this.clients = clients;
    this.stopping = false;
    this.broken = false;
  }

  async createDomains(): Promise<void> {
    for (const { id } of this.domains) {
      const { status } = await this.next().ask({ method: 'POST', target: '/domains', body: { id, name: id } });
      if (status !== 201) throw new Error(`A domain was not created: ${status}.`);
    }
  }

  /** Starts callers that send commands, and callers that check values. */
  start(senders: number, checkers: number): void {
    const random = (worker: number) => this.options.random(worker);
    this.workers = [
      ...Array.from({ length: senders }, (_, worker) => this.sendAll(random(worker))),
      ...Array.from({ length: checkers }, (_, worker) => this.checkAll(random(1_000 + worker))),
    ];
  }

  /** Resolves when every caller has finished its request or lost its connection. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers);
  }

  get isBroken(): boolean {
    return this.broken;
  }

  /** Stops sending new commands. Resolves when none is in flight. Checks continue. */
  async pause(): Promise<void> {
    this.paused = true;
    while (this.inHand > 0) await sleep(1);
  }

  resume(): void {
    this.paused = false;
  }

  private next(): Client {
    const client = this.clients[this.turns++ % this.clients.length];
    if (!client) throw new Error('The load is not connected to a server.');
    return client;
  }

  private deadline(): number {
    return performance.now() + (this.options.patienceMs ?? PATIENCE_MS);
  }

  private async rest(random: () => number): Promise<void> {
    const { pauseMs = 0 } = this.options;
    // A checker in this process may answer synchronously; without a pause it would starve the other callers.
    await (pauseMs === 0 ? setImmediate() : sleep(random() * pauseMs));
  }

  // ── Commands ───────────────────────────────────────────────────────────────────────────────────────────────────

  private async sendAll(random: () => number): Promise<void> {
    while (!this.stopping && !this.broken) {
      const plan = this.paused ? undefined : drawPlan(this.slots, random);
      if (!plan) {
        await sleep(1);
        continue;
      }
      await this.send(plan);
      if (this.options.pauseMs !== undefined) await this.rest(random);
    }
  }

  /** Sends a command under a new key until its outcome is known or the connection breaks. */
  async send(plan: Plan): Promise<SentCommand> {
    const command: SentCommand = { key: `${this.options.name}-${++this.keys}`, plan, sentAtMs: Date.now() };
    this.inHand += 1;
    plan.hold(true);
    const before = plan.gates?.map(({ state }) => state) ?? [];
    for (const gate of plan.gates ?? []) gate.set('unknown');
    this.before.set(command, before);
    if (!(await this.settle(command))) this.unsettled.push(command);
    this.inHand -= 1;
    return command;
  }

  private readonly before = new Map<SentCommand, readonly ('open' | 'shut' | 'unknown')[]>();

  /** Sends a command under its key until the answer is final. Resolves with false if the connection breaks. */
  private async settle(command: SentCommand): Promise<boolean> {
    const deadline = this.deadline();
    /** Every answer so far said that the command was not executed. */
    let untaken = command.reply === undefined && !this.unanswered.has(command);
    let refusals = 0;
    for (;;) {
      let reply: Reply;
      try {
        reply = await this.ask(command);
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        this.unanswered.add(command);
        untaken = false;
        const persists = this.options.persistent && !this.stopping;
        if (persists && performance.now() < deadline) {
          await sleep(AGAIN_AFTER_MS);
          continue;
        }
        if (persists) this.problems.push(`a command was never answered: ${command.key}`);
        else this.broken = true;
        return false;
      }
      if (untaken && refusals > 0 && reply.headers['rekey-replayed'] === 'true')
        this.problem('a command was executed although it was answered 503', command, reply);
      if (reply.status === 503) refusals += 1;
      else untaken = false;
      if (![202, 503, 504].includes(reply.status)) {
        this.conclude(command, reply);
        return true;
      }
      if (!this.options.viewsAway) this.problem(`a command was answered ${reply.status}`, command, reply);
      if (performance.now() > deadline) {
        this.problem('a command was not settled in time', command, reply);
        return true;
      }
      await sleep(AGAIN_AFTER_MS);
    }
  }

  private ask({ key, plan: { method, target, body } }: SentCommand): Promise<Reply> {
    return this.next().ask({ method, target, body, headers: { 'idempotency-key': key } });
  }

  private conclude(command: SentCommand, reply: Reply): void {
    const { plan } = command;
    command.reply = reply;
    command.accepted = reply.status < 300;
    const before = this.before.get(command) ?? [];
    this.before.delete(command);
    if (command.accepted) {
      this.settled.push(command);
      plan.accepted?.(reply);
      this.learn();
    } else {
      for (const [index, gate] of (plan.gates ?? []).entries()) gate.set(before[index] ?? 'unknown');
      if (plan.refusals?.includes(reply.body?.code)) this.settled.push(command);
      else this.problem('a command was rejected', command, reply);
    }
    plan.hold(false);
    this.onSettled();
  }

  /** Adds the values that were issued since the last call. */
  private learn(): void {
    for (const { application } of this.slots)
      for (const { current } of application?.secrets ?? [])
        if (!this.known.has(current)) {
          this.known.add(current);
          this.values.push(current);
        }
  }

  private readonly known = new Set<Value>();
  /** Commands that may have been executed although no answer arrived. */
  private readonly unanswered = new Set<SentCommand>();

  /**
   * Sends every command with an unknown outcome twice: the second answer must repeat the first. Stops if the connection
   * breaks.
   */
  async retry(): Promise<void> {
    const open = this.unsettled;
    this.unsettled = [];
    await Promise.all(
      open.map(async (command) => {
        if (!(await this.settle(command))) this.unsettled.push(command);
        else if (command.reply) await this.repeat(command);
      }),
    );
  }

  /** Sends a settled command again and compares the answer with the first one. */
  async repeat(command: SentCommand): Promise<void> {
    const { reply: first, plan } = command;
    if (!first) return;
    const again = await this.askAgain(command);
    if (!again) return;
    const sameOutcome = command.accepted
      ? again.headers['rekey-command-id'] === first.headers['rekey-command-id'] &&
        again.headers['rekey-replayed'] === 'true'
      : again.body?.code === first.body?.code;
    // 202: what the command created cannot be read back, because another command has removed it since.
    const sameStatus = again.status === first.status || (command.accepted && again.status === 202);
    if (!sameOutcome || !sameStatus) this.problem('a repeated command had a different outcome', command, again);
    const valueIsGone = !valueIn(again) && (command.outcomeLost || Date.now() - command.sentAtMs > VALUE_KEPT_FOR_MS);
    if (valueIn(first) !== valueIn(again) && !valueIsGone)
      this.problem('a repeated command had a different value', command, again);
    if (!command.accepted && plan.refusals === undefined)
      this.problem('an unexpected rejection was repeated', command, again);
  }

  /** Sends a settled command again. Resolves with undefined if no answer arrives. */
  private async askAgain(command: SentCommand): Promise<Reply | undefined> {
    for (const deadline = this.deadline(); ;) {
      let reply: Reply | undefined;
      try {
        reply = await this.ask(command);
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
      }
      const isAway = reply ? this.options.viewsAway && [503, 504].includes(reply.status) : this.options.persistent;
      if (!isAway || performance.now() > deadline) return reply;
      await sleep(AGAIN_AFTER_MS);
    }
  }

  /** Marks the outcomes of all settled commands except the first `known` as lost: the system has only their events. */
  loseOutcomes(known: number): void {
    for (const command of this.settled.slice(known)) command.outcomeLost = true;
  }

  // ── Checks ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private async checkAll(random: () => number): Promise<void> {
    while (!this.stopping && !this.broken) {
      const { length } = this.values;
      const index = random() < 0.7 ? length - 1 - Math.floor(random() * LATEST) : Math.floor(random() * length);
      const value = this.values[index];
      if (value) await this.check(value, this.options.checker ?? (random() < 0.2 ? this.asProxy : this.asService));
      await (value ? this.rest(random) : sleep(1));
    }
  }

  /** Checks a value at every server. */
  async checkEverywhere(value: Value): Promise<void> {
    await Promise.all(this.clients.map((client) => this.check(value, serviceAt(client))));
  }

  /** Checks a value and judges the outcome. */
  async check(value: Value, checker: Checker = this.options.checker ?? this.asService): Promise<void> {
    const allowed = value.look();
    let checked: Checked;
    try {
      checked = await checker(value);
    } catch (error) {
      if (!(error instanceof NoAnswer)) this.problems.push((error as Error).message);
      else if (this.options.persistent) this.counts.unanswered += 1;
      else this.broken = true;
      return;
    }
    this.judge(value, allowed(), checked);
  }

  private judge(value: Value, allowed: Allowed, { outcome, secretId, told }: Checked): void {
    if (outcome === 'unavailable') {
      this.counts.unavailable += 1;
      if (!this.options.viewsAway) this.problems.push(`a check was not answered: ${told}`);
      return;
    }
    this.counts[allowed] += 1;
    if (allowed !== 'either' && outcome !== allowed)
      this.problems.push(`${nameOf(value)} should have been ${allowed}, but was answered ${told}`);
    if (outcome === 'admitted' && secretId !== value.secret.id)
      this.problems.push(`${nameOf(value)} authenticated as secret ${secretId}`);
  }

  /** Checks as a service that received the credentials. */
  readonly asService: Checker = (value) => serviceAt(this.next())(value);

  /** Checks as a proxy with forward-auth. */
  private readonly asProxy: Checker = async ({ domain, clientId, text }) => {
    const client = this.next();
    const authorization = `Basic ${Buffer.from(`${clientId}:${text}`).toString('base64')}`;
    const headers = { authorization, 'rekey-authorization': client.authorization };
    const reply = await client.ask({ method: 'GET', target: `${domain.path}/forward-auth`, headers });
    return checkedOf(reply, reply.headers['x-rekey-secret-id']);
  };

  private problem(what: string, { key, plan }: SentCommand, { status, text }: Reply): void {
    const { method, target } = plan;
    this.problems.push(`${what}: ${key} ${method} ${target}: ${status} ${text.replaceAll(/rky_\w+/g, 'rky_…')}`);
  }
}

/** Returns a checker that sends every check to one server, as a service does. */
export const serviceAt =
  (client: Client): Checker =>
  async ({ domain, clientId, text }) => {
    const body = { clientId, clientSecret: text };
    const reply = await client.ask({ method: 'POST', target: `${domain.path}/authenticate`, body });
    return checkedOf(reply, reply.body?.secretId);
  };

const checkedOf = ({ status, text }: Reply, secretId: unknown): Checked => {
  if (status === 200 || status === 204)
    return { outcome: 'admitted', secretId: String(secretId), told: String(status) };
  const told = `${status} ${text}`;
  if (status === 401 || status === 429) return { outcome: 'refused', told };
  if (status === 503) return { outcome: 'unavailable', told };
  throw new Error(`A check was answered ${told}`);
};

const nameOf = ({ secret, version }: Value): string => `value ${version} of secret ${secret.id}`;

/** Returns the secret value in an answer. */
const valueIn = ({ body }: Reply): unknown => body?.secret ?? body?.firstSecret?.secret;
