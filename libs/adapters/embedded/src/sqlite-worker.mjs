// @ts-check
/**
 * Worker thread that writes to one SQLite file, so that fsync does not block the event loop. Commits all waiting
 * requests in one transaction, each in its own savepoint: a failed request is rolled back alone, and every request is
 * answered only once the commit is on disk.
 *
 * Receives `{ requests: Request[] }` or `{ close: true }`. Sends `{ ready: true }`, `{ failed: Failure }` if the file
 * cannot be opened, and `{ answers: Answer[] }`.
 *
 * @typedef {{ sql: string, params?: unknown[], kind: 'run' | 'all', expectChanges?: number }} Step
 * @typedef {{ id: number, steps: Step[] }} Request
 * @typedef {{ changes: number, lastRowId: number, rows: Record<string, unknown>[] }} StepResult
 * @typedef {{ code: string, message: string, step?: number, expected?: number, actual?: number }} Failure
 * @typedef {{ id: number, results?: StepResult[], failure?: Failure }} Answer
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import Database from 'libsql';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

/** Limits a transaction, so that the first requests of a long queue are answered early. */
const STEPS_PER_COMMIT = 2000;
const STATEMENTS_KEPT = 500;

class UnexpectedChanges extends Error {
  /** @param {number} step @param {number} expected @param {number} actual */
  constructor(step, expected, actual) {
    super(`Step ${step} changed ${actual} rows, expected ${expected}.`);
    this.failure = { code: 'EXPECTATION', message: this.message, step, expected, actual };
  }
}

/** @param {any} error @returns {Failure} */
const failureOf = (error) =>
  error instanceof UnexpectedChanges
    ? error.failure
    : { code: String(error?.code ?? 'ERROR'), message: String(error?.message) };

/** Initializes an empty file as a store. Throws if the file is the database of another program. @param {any} opened */
const initialize = (opened) => {
  const isOurs = () => opened.prepare('PRAGMA application_id').raw().get([])[0] === workerData.applicationId;
  if (isOurs()) return;
  opened.exec('BEGIN IMMEDIATE');
  try {
    const tables = opened.prepare('SELECT count(*) FROM sqlite_schema').raw().get([])[0];
    if (!isOurs() && tables > 0) throw new Error(`${workerData.file} is the database of another program.`);
    if (!isOurs()) for (const statement of workerData.initSql) opened.exec(statement);
    opened.exec('COMMIT');
  } catch (error) {
    if (opened.inTransaction) opened.exec('ROLLBACK');
    throw error;
  }
};

/** Retries while the file is busy: switching to WAL ignores the busy timeout, so processes that start together collide. */
const open = () => {
  const deadline = Date.now() + workerData.busyTimeoutMs;
  for (;;) {
    const opened = new Database(workerData.file, { timeout: workerData.busyTimeoutMs });
    try {
      for (const statement of workerData.openSql) opened.exec(statement);
      initialize(opened);
      return opened;
    } catch (error) {
      opened.close();
      if (failureOf(error).code !== 'SQLITE_BUSY' || Date.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
};

/** @type {Map<string, any>} */
const statements = new Map();
/** @type {any} */
let db;

/** @param {string} sql */
const prepared = (sql) => {
  const known = statements.get(sql);
  if (known) {
    statements.delete(sql);
    statements.set(sql, known);
    return known;
  }
  const statement = db.prepare(sql);
  statements.set(sql, statement);
  if (statements.size > STATEMENTS_KEPT) statements.delete(/** @type {string} */ (statements.keys().next().value));
  return statement;
};

/** @param {Step} step @param {number} index @returns {StepResult} */
const perform = ({ sql, params = [], kind, expectChanges }, index) => {
  const statement = prepared(sql);
  /** @type {StepResult} */
  let result;
  if (kind === 'all') {
    const rows = statement.all(params);
    result = { changes: rows.length, lastRowId: 0, rows };
  } else {
    // `run` would leave such a statement unfinished, and every later savepoint would fail.
    if (statement.reader) throw new Error(`A statement that returns rows needs the kind 'all': ${sql}`);
    const { changes, lastInsertRowid } = statement.run(params);
    result = { changes, lastRowId: Number(lastInsertRowid), rows: [] };
  }
  if (expectChanges !== undefined && result.changes !== expectChanges)
    throw new UnexpectedChanges(index, expectChanges, result.changes);
  return result;
};

/** @param {Request} request @returns {Answer} */
const attempt = (request) => {
  db.exec('SAVEPOINT request');
  try {
    const results = request.steps.map(perform);
    db.exec('RELEASE request');
    return { id: request.id, results };
  } catch (error) {
    // A full disk or an I/O error has rolled back the whole transaction, including the other requests.
    if (!db.inTransaction) throw error;
    db.exec('ROLLBACK TO request');
    db.exec('RELEASE request');
    return { id: request.id, failure: failureOf(error) };
  }
};

/** @param {Request[]} batch @returns {Answer[]} */
const commit = (batch) => {
  try {
    db.exec('BEGIN IMMEDIATE');
    const answers = batch.map(attempt);
    db.exec('COMMIT');
    return answers;
  } catch (error) {
    try {
      if (db.inTransaction) db.exec('ROLLBACK');
    } catch {
      // Report the first error. Nothing is committed even if the rollback fails.
    }
    const failure = failureOf(error);
    return batch.map(({ id }) => ({ id, failure }));
  }
};

/** @type {Request[]} */
const queue = [];
let closing = false;

/** @param {{ requests?: Request[], close?: boolean }} message */
const enqueue = (message) => {
  if (message.requests) queue.push(...message.requests);
  if (message.close) closing = true;
};

const drainPort = () => {
  for (let waiting = receiveMessageOnPort(port); waiting; waiting = receiveMessageOnPort(port))
    enqueue(waiting.message);
};

/** @returns {Request[]} */
const nextBatch = () => {
  let count = 0;
  let steps = 0;
  for (const request of queue) {
    steps += request.steps.length;
    if (count > 0 && steps > STEPS_PER_COMMIT) break;
    count++;
  }
  return queue.splice(0, count);
};

try {
  db = open();
  port.on('message', (message) => {
    enqueue(message);
    for (drainPort(); queue.length > 0; drainPort()) port.postMessage({ answers: commit(nextBatch()) });
    if (!closing) return;
    statements.clear();
    db.close();
    port.close();
  });
  port.postMessage({ ready: true });
} catch (error) {
  port.postMessage({ failed: failureOf(error) });
  port.close();
}
