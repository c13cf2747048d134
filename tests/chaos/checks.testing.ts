import { secretDocumentId } from '@rekey/contracts';
import { readUsage } from '@rekey/read-models';
import { until } from '@rekey/testing';
import { differencesOfCopy } from './copy.testing';
import { overdue } from './notices.testing';
import type { ChaosWorld } from './world.testing';
import type { Client } from '../support/client.testing';
import { differences, type HistoryReader } from '../support/history.testing';
import type { Load, SentCommand } from '../support/load.testing';

/** Commands of earlier rounds that each round sends again. */
const REPEATS = 8;
/** How often all values are checked if a check was not answered. */
const PASSES = 2;
/** Ended values that each round checks again. */
const ENDED = 30;
/** A stream keeps the outcomes of its last 500 commands; a few may be appended during a check. */
const REMEMBERED = 400;
/** Longer than the five minutes until the next sweep for due notices whose jobs Redis has lost. */
const DUE_WITHIN_MS = 330_000;
/** Uses are stored every few seconds. */
const USE_WITHIN_MS = 30_000;
/** Number and length of the problems in an error message. */
const REPORTED = 15;
const REPORTED_LENGTH = 600;

/** The guarantees of the system, checked against what the load and the history know. */
export class ChaosChecks {
  constructor(
    private readonly world: ChaosWorld,
    private readonly load: Load,
    private readonly history: HistoryReader,
  ) {}

  private get client(): Client {
    return this.world.firstClient;
  }

  /** After a round: repeats some commands, checks the values, and compares the history with the answers. */
  async afterRound(random: () => number): Promise<void> {
    await this.repeatSome(random);
    await this.checkValues(random);
    await this.compareHistory();
  }

  /** Sends some settled commands again. Their outcome must be the first one. */
  private async repeatSome(random: () => number): Promise<void> {
    for (const command of some(this.load.settled, REPEATS, random))
      if (this.isRemembered(command)) await this.load.repeat(command);
  }

  /**
   * If the stored outcome was lost, the stream still has the outcome of a command that appended events, until too many
   * others have followed. Rejections and no-ops may be decided differently, so they are not sent again.
   */
  private isRemembered(command: SentCommand): boolean {
    if (!command.outcomeLost) return true;
    const since = this.history.writtenSince(command);
    return since !== undefined && since < REMEMBERED;
  }

  /**
   * Checks all live values and some ended ones at every gateway. On a busy machine an engine may time out once, but the
   * system may not be unavailable in two passes.
   */
  private async checkValues(random: () => number): Promise<void> {
    const { load } = this;
    const live = load.values.filter(({ expected }) => expected !== 'refused');
    const ended = load.values.filter(({ expected }) => expected === 'refused');
    const unavailable = (): number => load.counts.unavailable + load.counts.unanswered;
    const values = [...live, ...some(ended, ENDED, random)];
    let before = unavailable();
    for (let pass = 1; pass <= PASSES; pass++) {
      before = unavailable();
      for (const value of values) await load.checkEverywhere(value);
      if (unavailable() === before) return;
    }
    load.problems.push(`${unavailable() - before} checks were not answered by a system that has recovered`);
  }

  /** Compares the history with all answers. Throws all problems found so far. */
  async compareHistory(): Promise<void> {
    const { history, load } = this;
    await history.readNew(this.client);
    history.judge(load);
    failOn([...load.problems, ...history.problems, ...this.world.system.problems]);
  }

  /** Compares the views with the history, document by document, and verifies the hash chains. */
  async compareViews(): Promise<void> {
    failOn(await differences(this.world.stores));
    const { body } = await this.client.ask({ method: 'POST', target: '/history/verify' });
    if (body?.broken?.length !== 0) throw new Error(`Hash chains are broken: ${JSON.stringify(body)}`);
  }

  /** After the load has stopped: compares everything that was read before with what is stored now. */
  async afterLoad(): Promise<void> {
    await this.history.compareWhole(this.client);
    await this.compareHistory();
    await this.compareViews();
    await this.recordsUse();
    if (/rky_[0-9A-Za-z]{59}/.test(this.world.system.output)) throw new Error('A process has logged a secret value.');
  }

  /** Last uses are not events, so faults may lose them; new uses must still be recorded. */
  private async recordsUse(): Promise<void> {
    const value = this.load.values.findLast(({ expected }) => expected === 'admitted');
    if (!value) throw new Error('No value is live.');
    const id = secretDocumentId(value.secret.application.id, value.secret.id);
    const since = new Date().toISOString();
    await this.load.check(value);
    const isRecorded = async (): Promise<boolean> => {
      const usage = await readUsage(this.world.stores.readModels, [id]);
      return (usage.get(id)?.lastUsedAt ?? '') >= since;
    };
    await until('the use of a value to be recorded', isRecorded, { timeoutMs: USE_WITHIN_MS, intervalMs: 100 });
  }

  /** Every due notice has been sent, and is recorded once. */
  async compareNotices(): Promise<void> {
    const due = await overdue(this.world.stores.readModels, DUE_WITHIN_MS);
    failOn(due.map((id) => `overdue: ${id}`));
    await this.compareHistory();
    failOn(this.world.notices.judge(this.history));
  }

  /** Embedded stores with the same history have the same views. */
  async compareCopy(): Promise<void> {
    const { store, readModels } = this.world.stores;
    failOn(await differencesOfCopy(store, readModels));
  }
}

/** Throws an error with the first of the problems, if there are any. */
export const failOn = (problems: readonly string[]): void => {
  const first = problems.slice(0, REPORTED).map((problem) => problem.slice(0, REPORTED_LENGTH));
  if (problems.length > 0) throw new Error(`${problems.length} problems:\n${first.join('\n')}`);
};

const some = <T>(all: readonly T[], count: number, random: () => number): T[] =>
  Array.from({ length: Math.min(count, all.length) }, () => all[Math.floor(random() * all.length)] as T);
